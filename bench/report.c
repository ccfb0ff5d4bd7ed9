/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "report.h"

const char *text_count(char out[TEXT_MAX], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    int i, k = 0;

    for (i = 0; i < len; i++) {
        if (i != 0 && (len - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = '\0';
    return out;
}

static const char *text_scaled(char out[TEXT_MAX], double x, const char *unit)
{
    int digits = x < 9.995 ? 2 : x < 99.95 ? 1 : 0;

    snprintf(out, TEXT_MAX, "%.*f %s", digits, x, unit);
    return out;
}

const char *text_time(char out[TEXT_MAX], double ns)
{
    if (ns < 999500.0)
        return text_scaled(out, ns / 1e3, "us");
    return ns < 999500000.0 ? text_scaled(out, ns / 1e6, "ms") : text_scaled(out, ns / 1e9, "s");
}

const char *text_bytes(char out[TEXT_MAX], double bytes)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int i = 0;

    while (bytes >= 999.5 && i < 4) {
        bytes /= 1024.0;
        i++;
    }
    return text_scaled(out, bytes, unit[i]);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

static double per_second(double n, uint64_t ns)
{
    return ns == 0 ? 0.0 : n * 1e9 / (double)ns;
}

static const struct {
    const char *text, *json;
    unsigned parts; /* of HDR_ALL */
} percentiles[] = {
    { "p50", "p50", 50000 }, { "p75", "p75", 75000 }, { "p90", "p90", 90000 }, { "p99", "p99", 99000 },
    { "p99.9", "p99_9", 99900 }, { "p99.99", "p99_99", 99990 }
};

#define PERCENTILES (sizeof percentiles / sizeof percentiles[0])

static void table_head(FILE *f, const options *o, const load_result *r)
{
    const load_config *c = &o->load;
    char a[TEXT_MAX], b[TEXT_MAX];

    if (c->job == LOAD_ECHO)
        fprintf(f, "echo of %s", text_bytes(a, (double)c->request_len));
    else
        fprintf(f, "HTTP");
    fprintf(f, ", %s: %s connection%s", o->target, text_count(a, c->connections),
            c->connections == 1 ? "" : "s");
    if (c->pipeline > 1)
        fprintf(f, ", pipeline %u", c->pipeline);
    if (c->reconnect)
        fprintf(f, ", one for each request");
    if (c->rate > 0.0)
        fprintf(f, ", open loop at %s/s", text_count(b, (uint64_t)c->rate));
    fprintf(f, ", %u thread%s (%s), %.2f s%s\n\n", c->threads, c->threads == 1 ? "" : "s", r->poller,
            seconds(r->elapsed_ns), r->interrupted ? ", interrupted" : "");
}

static void table_latency(FILE *f, const options *o, const load_result *r)
{
    const hdr *h = &r->latency;
    char t[TEXT_MAX];
    size_t i;

    fprintf(f, "  latency    %10s", "mean");
    for (i = 0; i < PERCENTILES; i++)
        fprintf(f, " %10s", percentiles[i].text);
    fprintf(f, " %10s\n             %10s", "max", text_time(t, hdr_mean(h)));
    for (i = 0; i < PERCENTILES; i++)
        fprintf(f, " %10s", text_time(t, (double)hdr_percentile(h, percentiles[i].parts)));
    fprintf(f, " %10s\n", text_time(t, (double)h->max));
    if (o->load.rate > 0.0)
        fprintf(f, "             from the time each request was due\n");
    else if (o->load.expected_interval_ns != 0)
        fprintf(f, "             corrected for one request every %s a connection\n",
                text_time(t, (double)o->load.expected_interval_ns));
}

static void table_errors(FILE *f, const load_result *r)
{
    char t[TEXT_MAX];
    int i;

    if (r->unsent != 0)
        fprintf(f, "  unsent     %s requests were due, but no connection was free for them\n",
                text_count(t, r->unsent));
    if (load_errors(r) == 0) {
        fprintf(f, "  errors     none\n");
        return;
    }
    fprintf(f, "  errors     %s:", text_count(t, load_errors(r)));
    for (i = 0; i < LOAD_ERRORS; i++) {
        if (r->errors[i] != 0)
            fprintf(f, " %s %s", load_error_name[i], text_count(t, r->errors[i]));
    }
    fprintf(f, "\n");
}

void report_table(FILE *f, const options *o, const load_result *r)
{
    char a[TEXT_MAX], b[TEXT_MAX];

    table_head(f, o, r);
    text_count(a, r->requests);
    text_count(b, (uint64_t)(per_second((double)r->requests, r->elapsed_ns) + 0.5));
    fprintf(f, "  requests   %s in all, %s/s\n", a, b);
    text_bytes(a, per_second((double)r->bytes_in, r->total_ns));
    text_bytes(b, per_second((double)r->bytes_out, r->total_ns));
    fprintf(f, "  traffic    %s/s received, %s/s sent\n", a, b);
    if (r->latency.count != 0)
        table_latency(f, o, r);
    table_errors(f, r);
}

static void json_text(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', f);
        if ((unsigned char)*s < 32)
            fprintf(f, "\\u%04x", (unsigned)(unsigned char)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void json_latency(FILE *f, const hdr *h)
{
    size_t i;

    fprintf(f, "  \"latency_ns\": {\"count\": %" PRIu64 ", \"min\": %" PRIu64, h->count,
            h->count != 0 ? h->min : 0);
    fprintf(f, ", \"mean\": %.0f, \"stddev\": %.0f", hdr_mean(h), hdr_deviation(h));
    for (i = 0; i < PERCENTILES; i++)
        fprintf(f, ", \"%s\": %" PRIu64, percentiles[i].json, hdr_percentile(h, percentiles[i].parts));
    fprintf(f, ", \"max\": %" PRIu64 "},\n", h->max);
}

void report_json(FILE *f, const options *o, const load_result *r)
{
    const load_config *c = &o->load;
    int i;

    fprintf(f, "{\n  \"target\": ");
    json_text(f, o->target);
    fprintf(f, ",\n  \"job\": \"%s\",\n  \"request_bytes\": %zu,\n", c->job == LOAD_ECHO ? "echo" : "http",
            c->request_len);
    fprintf(f, "  \"connections\": %u,\n  \"pipeline\": %u,\n  \"threads\": %u,\n  \"poller\": ",
            c->connections, c->pipeline, c->threads);
    json_text(f, r->poller);
    if (c->rate > 0.0)
        fprintf(f, ",\n  \"rate\": %.0f,\n  \"corrected\": \"schedule\",\n", c->rate);
    else
        fprintf(f, ",\n  \"rate\": null,\n  \"corrected\": %s,\n",
                c->expected_interval_ns != 0 ? "\"expected-interval\"" : "null");
    fprintf(f, "  \"duration_s\": %.6f,\n  \"requests\": %" PRIu64 ",\n  \"requests_per_s\": %.1f,\n",
            seconds(r->elapsed_ns), r->requests, per_second((double)r->requests, r->elapsed_ns));
    fprintf(f, "  \"total\": %" PRIu64 ",\n  \"unsent\": %" PRIu64 ",\n", r->total, r->unsent);
    fprintf(f, "  \"bytes_in\": %" PRIu64 ",\n  \"bytes_out\": %" PRIu64 ",\n", r->bytes_in, r->bytes_out);
    fprintf(f, "  \"connects\": %" PRIu64 ",\n  \"connect_s\": %.6f,\n  \"interrupted\": %s,\n", r->connects,
            seconds(r->connect_ns), r->interrupted ? "true" : "false");
    json_latency(f, &r->latency);
    fprintf(f, "  \"errors\": {");
    for (i = 0; i < LOAD_ERRORS; i++)
        fprintf(f, "%s\"%s\": %" PRIu64, i != 0 ? ", " : "", load_error_name[i], r->errors[i]);
    fprintf(f, "}\n}\n");
}
