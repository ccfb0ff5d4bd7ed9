/* SPDX-License-Identifier: MIT */
/* How results are shown: a table for people, JSON for programs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "load.h"
#include "options.h"

#define TEXT_MAX 40

/* "1,234,567" */
const char *text_count(char out[TEXT_MAX], uint64_t n);
/* Three digits and a unit: "12.3 us", "1.02 ms", "2.50 s" */
const char *text_time(char out[TEXT_MAX], double ns);
/* "12.3 MiB" */
const char *text_bytes(char out[TEXT_MAX], double bytes);

void report_table(FILE *f, const options *o, const load_result *r);
void report_json(FILE *f, const options *o, const load_result *r);

#endif
