package emulator

import "time"

// nativeSettings is Talkover's own auto top-up of one environment.
type nativeSettings struct {
	configured bool
	enabled    bool
	threshold  quantity
	amount     quantity
	cardID     string
	scheduled  bool
	monthly    quantity // amount of the scheduled recharge
	day        int      // of the month, 1 to 28
	lastMonth  time.Time
	updated    time.Time
}

// recharge is one entry of the native history.
type recharge struct {
	id, trigger, status, reason string
	amount                      quantity
	before, after               quantity
	cardID, transaction         string
	created                     time.Time
	listed                      bool
}

// scheduledHour is when monthly recharges run, UTC (the documentation's example
// entry is of 08:00Z; nothing says that it is always so).
const scheduledHour = 8

// recharge queues what the environment's own settings ask for. A queued
// recharge completes even if auto top-up is disabled meanwhile (Talkover docs,
// "disable-auto-topup", read 2026-11-20).
func (t *talkover) recharge(env *environment, now time.Time) {
	s := &env.native
	if !s.enabled || env.queued {
		return
	}
	if env.balance < s.threshold && !now.Before(env.nativeAfter) {
		t.queue(env, "threshold", s.amount, now)
		return
	}
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if s.scheduled && now.Day() == s.day && now.Hour() >= scheduledHour && s.lastMonth.Before(month) {
		s.lastMonth = month
		t.queue(env, "scheduled", s.monthly, now)
	}
}

// queue starts a recharge: unseen until QueueDelay is over, then pending for
// PendingFor, then succeeded or failed.
func (t *talkover) queue(env *environment, trigger string, amount quantity, now time.Time) {
	r := &recharge{
		id: t.uuid("topup-"), trigger: trigger, status: "pending", amount: amount,
		cardID: env.native.cardID, created: now, listed: t.opts.Profile.QueuedVisible,
	}
	env.queued = true
	env.history = append(env.history, r)
	p := t.opts.Profile
	t.at(now.Add(p.QueueDelay), func(at time.Time) {
		r.listed = true
		if !t.opts.Profile.QueuedVisible {
			r.created = at
		}
		t.at(at.Add(p.PendingFor), func(at time.Time) {
			env.queued = false
			t.collect(env, r, at)
		})
	})
}

// collect charges the recharge's card.
func (t *talkover) collect(env *environment, r *recharge, now time.Time) {
	card := env.card(r.cardID)
	switch {
	case t.spentToday(env, now)+r.amount > limited(t.opts.Profile.DailyLimit):
		r.reason = "daily_limit_reached"
	case card == nil || card.state != CardGood:
		r.reason = "card_declined"
	}
	if r.reason != "" {
		r.status = "failed"
		env.nativeAfter = now.Add(t.opts.Profile.NativeRetry)
		return
	}
	t.use(env, now)
	r.status, r.before = "succeeded", env.balance
	r.transaction = t.credit(env, r.amount, sourceOf(r.trigger), nil, now)
	r.after = env.balance
}

func sourceOf(trigger string) string {
	switch trigger {
	case "scheduled":
		return SourceScheduled
	case "test":
		return SourceTest
	}
	return SourceNative
}

// spentToday adds up the native recharges since midnight UTC (the day's limits
// are not documented).
func (t *talkover) spentToday(env *environment, now time.Time) quantity {
	var sum quantity
	for _, r := range env.today(now) {
		sum += r.amount
	}
	return sum
}

// today lists the succeeded recharges since midnight UTC.
func (env *environment) today(now time.Time) []*recharge {
	midnight := now.UTC().Truncate(24 * time.Hour)
	var out []*recharge
	for _, r := range env.history {
		if r.status == "succeeded" && !r.created.Before(midnight) {
			out = append(out, r)
		}
	}
	return out
}
