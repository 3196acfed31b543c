#include "qmgr/cleaning.h"

#include "qmgr/adopted.h"

static bool
is_live(const struct qmgr *q, const struct spool_found *f)
{
    if (f->type == RECORD_META)
        return place_same(&f->place, &q->mark_place) ||
            adopted_is_live(q, &f->place);
    return index_is_live(&q->index, f);
}

void
cleaning_answer(const struct qmgr *q, struct spool_step *step)
{
    for (size_t i = 0; i < step->count; i++)
        step->moves[i].live = is_live(q, &step->moves[i].found);
}

static bool
has_moved(struct qmgr *q, const struct spool_move *m)
{
    if (m->found.type != RECORD_META)
        return index_moved(&q->index, m);
    if (!place_same(&m->found.place, &q->mark_place))
        return adopted_moved(q, &m->found.place, &m->to);
    q->mark_place = m->to;
    return true;
}

void
cleaning_take_over(struct qmgr *q, const struct spool_step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        const struct spool_move *m = &step->moves[i];

        if (!m->moved || has_moved(q, m))
            continue;
        q->outside->dead(q->context, &m->to);
        if (place_is_set(&m->content_to))
            q->outside->dead(q->context, &m->content_to);
    }
}
