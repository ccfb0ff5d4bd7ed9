/* SPDX-License-Identifier: MIT */
#include "mpsc.h"

#include "../include/gannet.h"
#include "../platform/cpu.h"
#include "../platform/thread.h"
#include "bits.h"

/* The bottom of every stack, and the head of an open box without tasks: whose loop looks into it before it
 * sleeps, or may be asleep and must be woken. */
static gni_task awake, asleep;

static int is_bottom(const void *head)
{
    return head == &awake || head == &asleep;
}

/* A waker is between two atomics and one write to an eventfd or a pipe: long enough to be
 * worth a few spins, but it may also have been preempted there. */
#define CLOSE_SPINS 100u

void gni_mailbox_init_closed(gni_mailbox *mb)
{
    gnp_store_ptr(&mb->head, NULL);
    gnp_store32(&mb->wakers, 0);
    mb->poller = NULL;
}

void gni_mailbox_open(gni_mailbox *mb, gnp_poller *poller)
{
    /* wakers stays as it is: a late push of the box's former life may be counted in it. */
    mb->poller = poller;
    gnp_store_ptr(&mb->head, &asleep);
}

/*
 * The loop must walk the list that the senders made, and each task stands in the sender's cache: a miss
 * for each, one after the other, would be most of what a task costs.  So each task says which one stands
 * some places further down, and the walk asks for it ahead of time.
 */
#define AHEAD 8u
static GNP_THREAD_LOCAL const void *pushed[AHEAD];
static GNP_THREAD_LOCAL unsigned pushed_at;

static void note_older(gni_task *task)
{
    const void **at = &pushed[pushed_at++ % AHEAD];

    task->older = *at;
    *at = task;
}

int gni_mailbox_push(gni_mailbox *mb, gni_task *task, unsigned priority, int own_thread)
{
    void *head = gnp_load_ptr(&mb->head);

    task->priority = priority;
    note_older(task);
    for (;;) {
        int wakes = head == &asleep && !own_thread;

        if (head == NULL)
            return GN_ECLOSED;
        /* Before the task can be seen: once it can, the loop may run it, end, and close the
         * poller that we are about to wake; gni_mailbox_close waits for us. */
        if (wakes)
            gnp_add32(&mb->wakers, 1);
        task->next = head;
        if (gnp_cas_ptr(&mb->head, &head, task)) {
            if (wakes) {
                gnp_wake(mb->poller);
                gnp_sub32(&mb->wakers, 1);
            }
            return GN_OK;
        }
        /* Each turn here means that another thread's push, or the loop's take, succeeded. */
        if (wakes)
            gnp_sub32(&mb->wakers, 1);
    }
}

/* Newest first, ending in the bottom, becomes oldest first, a list for each priority. */
static void sort_out(gni_task *t, gni_taskq *q)
{
    gni_taskq list[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };

    while (!is_bottom(t)) {
        gni_task *next = t->next;
        gni_taskq *to = &list[t->priority & GNI_LOW];

        gni_prefetch(t->older);
        gni_prefetch((const void *)((uintptr_t)t->older + 64)); /* the data of an operation */
        t->next = to->first;
        if (to->first == NULL)
            to->last = t;
        to->first = t;
        t = next;
    }
    for (unsigned i = 0; i < GNI_PRIORITIES; i++) {
        if (list[i].first == NULL)
            continue;
        if (q[i].first == NULL)
            q[i].first = list[i].first;
        else
            q[i].last->next = list[i].first;
        q[i].last = list[i].last;
    }
}

int gni_mailbox_pending(const gni_mailbox *mb)
{
    const void *head = gnp_load_ptr(&mb->head);

    return head != NULL && !is_bottom(head);
}

int gni_mailbox_take(gni_mailbox *mb, gni_taskq *q)
{
    /* Only this thread closes, so the box cannot be closed between the two. */
    if (!gni_mailbox_pending(mb))
        return 0;
    sort_out(gnp_swap_ptr(&mb->head, &awake), q);
    return 1;
}

int gni_mailbox_rest(gni_mailbox *mb)
{
    void *head = gnp_load_ptr(&mb->head);

    if (head == &asleep)
        return 1;
    return head == &awake && gnp_cas_ptr(&mb->head, &head, &asleep);
}

void gni_mailbox_close(gni_mailbox *mb, gni_taskq *q)
{
    gni_task *rest = gnp_swap_ptr(&mb->head, NULL);
    unsigned spins = 0;

    /* Ends: a thread that counts itself from now on finds the box closed and takes itself
     * off; only those already on their way into gnp_wake are waited for. */
    while (gnp_load32(&mb->wakers) != 0) {
        if (++spins < CLOSE_SPINS)
            gnp_cpu_relax();
        else
            gnp_thread_yield();
    }
    mb->poller = NULL;
    if (rest != NULL)
        sort_out(rest, q);
}
