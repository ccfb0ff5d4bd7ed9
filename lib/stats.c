/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <string.h>

#include "engine.h"
#include "loop.h"
#include "options.h"

static void add(gn_stats *to, const gn_loop *l)
{
    const gni_stats *s = &l->stats;
    to->conns += gnp_load64_relaxed(&l->open_shared);
    to->accepted += gnp_load64_relaxed(&s->accepted);
    to->dialed += gnp_load64_relaxed(&s->dialed);
    to->adopted += gnp_load64_relaxed(&s->adopted);
    to->closed += gnp_load64_relaxed(&s->closed);
    to->refused += gnp_load64_relaxed(&s->refused);
    to->timeouts += gnp_load64_relaxed(&s->timeouts);
    to->errors += gnp_load64_relaxed(&s->errors);
    to->migrated += gnp_load64_relaxed(&s->migrated);
    to->bytes_in += gnp_load64_relaxed(&s->bytes_in);
    to->bytes_out += gnp_load64_relaxed(&s->bytes_out);
    to->datagrams_in += gnp_load64_relaxed(&s->datagrams_in);
    to->datagrams_out += gnp_load64_relaxed(&s->datagrams_out);
    to->datagrams_lost += gnp_load64_relaxed(&s->datagrams_lost);
    to->reads += gnp_load64_relaxed(&s->reads);
    to->writes += gnp_load64_relaxed(&s->writes);
    to->turns += gnp_load64_relaxed(&s->turns);
    to->tasks += gnp_load64_relaxed(&s->tasks);
    to->timers += gnp_load64_relaxed(&s->timers);
    to->stalls += gnp_load64_relaxed(&s->stalls);
    to->bytes_held += gnp_load64_relaxed(&l->held_shared) << 10;
    to->bytes_posted += gnp_load64_relaxed(&l->box->posted);
}

/* One loop, or all from first on; before the start there are none, and all is zero. */
static int tell(const gn_engine *e, unsigned first, int one, gn_stats *out)
{
    if (out == NULL || out->size < sizeof out->size) {
        return GN_EINVAL;
    }
    size_t size = out->size;
    gn_stats all;
    memset(&all, 0, sizeof all);
    unsigned last = gnp_load32(&e->loops_shown) == 0 ? first : one ? first + 1 : e->loops_made;
    for (unsigned i = first; i < last; i++) {
        add(&all, e->loops[i]);
    }
    gni_options_fill(out, size, &all, sizeof all);
    out->size = size;
    return GN_OK;
}

int gn_engine_loop_stats(const gn_engine *e, unsigned i, gn_stats *out)
{
    if (!gni_engine_valid(e) || i >= e->nloops) {
        return GN_EINVAL;
    }
    return tell(e, i, 1, out);
}

/* With the loop that only accepts, if there is one. */
int gn_engine_stats(const gn_engine *e, gn_stats *out)
{
    return gni_engine_valid(e) ? tell(e, 0, 0, out) : GN_EINVAL;
}
