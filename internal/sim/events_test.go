package sim

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"topupd/clients/emulator"
	"topupd/ledger"
	"topupd/topup"
)

// strike lets an event happen now.
func (w *world) strike(e event) {
	if w.ended {
		return
	}
	id := w.customers[e.Customer].ID
	var who topup.CustomerID
	if slices.Contains([]kind{portal, native, card, archive, switched, refunded}, e.Kind) {
		who = topup.CustomerID(id)
	}
	w.tell(who, "* %s", e)
	switch e.Kind {
	case kill:
		w.kill(e.Replica, e.For)
	case terminate:
		w.terminate(e.Replica, e.For)
	case freeze:
		w.freeze(e.Replica, e.For)
	case portal:
		_ = w.emu.PortalPurchase(id, w.pack()) // a card that does not pay buys nothing
	case native:
		_ = w.emu.SetAutoTopup(id, true)
		w.judge.native(topup.CustomerID(id), true)
		w.after(e.For, func() { w.nativeOff(id) })
	case card:
		w.setCard(id, emulator.Card(e.What))
		w.after(e.For, func() { w.setCard(id, emulator.CardGood) })
	case price:
		_ = w.emu.SetPrice(emulator.SmallPack, 22_000)
		w.judge.repriced()
		w.after(e.For, w.priceBack)
	case archive:
		_ = w.emu.Archive(id) // Talkover has nothing to archive
		w.judge.archived[topup.CustomerID(id)] = true
	case readFault:
		w.windows = append(w.windows, e)
		if e.What == "all_zero" {
			w.judge.doubt(e.For)
		}
		w.after(e.For, func() {
			w.readsBad = w.now()
			w.windows = slices.DeleteFunc(w.windows, func(o event) bool { return o == e })
		})
	case dbAway:
		w.away.Store(true)
		w.after(e.For, func() { w.away.Store(false); w.readsBad = w.now() })
	case allAway:
		for n := range w.replicas {
			w.kill(n, e.For)
		}
		w.after(e.For, func() { w.readsBad = w.now() })
	case dbClock:
		w.dbSkew.set(e.For)
		w.after(e.For.Abs(), func() {
			w.judge.expired()
			w.dbSkew.set(0)
			w.readsBad = w.now()
		})
	case theirClock:
		w.theirSkew.set(e.For)
		w.after(e.For.Abs(), func() { w.theirSkew.set(0); w.readsBad = w.now() })
	case ownClock:
		if r := w.replicas[e.Replica]; r != nil {
			r.skew.set(e.For)
			w.after(e.For.Abs(), func() { r.skew.set(0); w.readsBad = w.now() })
		}
	case reload:
		w.locked(func() { w.version++ })
	case raised:
		w.raise(e.For)
	case refunded:
		w.refund(id, e.For)
	case restored:
		w.backUp(e.For)
	case rename:
		w.locked(func() { w.renamed = !w.renamed })
		for i := range w.replicas {
			w.terminate(i, time.Second)
		}
	case pause:
		w.pause(e, id)
	case switched:
		w.switchEnvironment(id, e.For)
	case burst:
		w.burst(e.For)
	case person:
		w.resolve()
	case answerFault, doubt: // these wait for their request
	}
}

// raise raises the threshold of the Hyperline rule for a while. A person looks
// after a quarter of an hour and lets the purchases be, if they are still held.
func (w *world) raise(d time.Duration) {
	w.locked(func() { w.high++; w.version++ })
	w.judge.raised()
	w.after(15*time.Minute, func() {
		p := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Reason: "they are to have more", By: "sim"}
		if _, err := w.store.Resume(context.Background(), p, ledger.NoPause); err != nil && !errors.Is(err, topup.ErrNotFound) {
			w.judge.breach("harness", "", "resuming: %v", err)
		}
		w.judge.allowed()
	})
	w.after(d, func() { w.locked(func() { w.high--; w.version++ }) })
}

// locked changes what processes look at without passing.
func (w *world) locked(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// pack is what the rule buys first.
func (w *world) pack() string { return emulator.SmallPack }

func (w *world) nativeOff(id string) {
	_ = w.emu.SetAutoTopup(id, false)
	w.judge.native(topup.CustomerID(id), false)
}

func (w *world) setCard(id string, c emulator.Card) {
	_ = w.emu.SetCard(id, c) // Talkover knows fewer cards
	w.judge.cards[topup.CustomerID(id)] = w.now()
}

func (w *world) priceBack() {
	_ = w.emu.SetPrice(emulator.SmallPack, 20_000)
	w.judge.repriced()
}

// kill is kill -9: whatever the process was about to do, it does not.
func (w *world) kill(n int, down time.Duration) {
	r := w.replicas[n]
	if r == nil {
		return
	}
	w.tell("", "%s is killed", r)
	r.dead.Store(true)
	w.replicas[n] = nil
	w.gate.flush(r)
	r.stop()
	r.shut()
	w.after(down, func() {
		if w.replicas[n] == nil {
			w.start(n)
		}
	})
}

func (w *world) terminate(n int, down time.Duration) {
	r := w.replicas[n]
	if r == nil || r.restart >= 0 {
		return
	}
	r.restart = down
	r.stop()
}

// reap starts again what has ended by itself.
func (w *world) reap() {
	for n, r := range w.replicas {
		if r == nil {
			continue
		}
		select {
		case <-r.ended:
			w.replicas[n] = nil
			if r.restart >= 0 && !w.finished {
				w.after(r.restart, func() {
					if w.replicas[n] == nil {
						w.start(n)
					}
				})
			}
		default:
		}
	}
}

func (w *world) freeze(n int, d time.Duration) {
	if r := w.replicas[n]; r != nil {
		r.frozenUntil.Store(w.now().Add(d).UnixNano())
		w.after(d, func() {}) // so that time stops there
	}
}

func (w *world) pause(e event, customer string) {
	until := w.dbNow().Add(e.For) // resume --provider would lift more than the pause
	p := topup.Pause{Reason: "simulated", By: "sim", Until: &until}
	switch e.What {
	case "all":
		p.Scope = topup.PauseAll
	case "provider":
		p.Scope, p.Provider = topup.PauseProvider, hyperlineID
	case "rule":
		p.Scope, p.Subject = topup.PauseRule, "api-credits"
	default:
		p.Scope, p.Subject = topup.PauseCustomer, customer
	}
	p, err := w.store.Pause(context.Background(), p)
	if err != nil {
		w.judge.breach("harness", "", "pausing: %v", err)
		return
	}
	w.judge.paused(p)
}

// lookAndResume is a person who looks at the provider four minutes later, and
// resumes when what it shows is true again.
func (w *world) lookAndResume(p topup.Pause) {
	if w.script != nil && w.script.nobody {
		return
	}
	w.after(4*time.Minute, func() {
		if len(w.windows) > 0 {
			w.lookAndResume(p)
			return
		}
		w.unpause(p)
	})
}

// thrown is a switch of topupd's own as it stands in the ledger.
func (w *world) thrown(p topup.Pause) topup.Pause {
	pauses, err := w.store.Pauses(context.Background())
	if err != nil {
		w.judge.breach("harness", "", "listing the pauses: %v", err)
	}
	for _, q := range pauses {
		if q.Scope == p.Scope && q.Provider == p.Provider && q.Subject == p.Subject && q.Cause == p.Cause {
			return q
		}
	}
	return p
}

// unpause is a person who takes a pause back, with what else holds its scope.
func (w *world) unpause(p topup.Pause) {
	if p.Scope == topup.PauseProvider && w.comparing(p.Provider) {
		w.after(5*time.Minute, func() { w.unpause(p) })
		return
	}
	w.judge.resumed(p)
	if _, err := w.store.Resume(context.Background(), p, cmp.Or(p.ID, ledger.NoPause)); err != nil && !errors.Is(err, topup.ErrNotFound) {
		w.judge.breach("harness", "", "resuming: %v", err)
	}
}

func (w *world) switchEnvironment(id string, d time.Duration) {
	if w.h.Voices < 2 || w.index[topup.CustomerID(id)] < w.h.Targets {
		return
	}
	other := w.customers[w.h.Targets].ID
	if other == id {
		other = w.customers[w.h.Targets+1].ID
	}
	_ = w.emu.SwitchEnvironment(id, other)
	w.after(d, func() { _ = w.emu.SwitchEnvironment(id, id) })
}

func (w *world) burst(d time.Duration) {
	for _, c := range w.customers {
		_ = w.emu.SetUsage(c.ID, times(c.PerSecond, 10))
	}
	w.after(d, w.usual)
}

func (w *world) usual() {
	for _, c := range w.customers {
		_ = w.emu.SetUsage(c.ID, times(c.PerSecond, 1))
	}
}

// resolve is a person who looks at the provider and says what is true.
func (w *world) resolve() {
	ctx := context.Background()
	for _, p := range w.judge.inState(topup.NeedsReview) {
		row, err := w.store.Purchase(ctx, p)
		if err != nil || row.State != topup.NeedsReview {
			continue
		}
		charge := w.judge.chargeOf(row)
		now, _ := w.store.Now(ctx)
		r := topup.Resolution{Charged: charge != nil, Note: "looked", By: "sim"}
		if charge != nil && charge.Invoice != "" {
			r.Reference = charge.Invoice
		}
		c, err := topup.Resolved(row, r, now)
		if err != nil {
			continue
		}
		if stored, err := w.store.Advance(ctx, c); err == nil {
			w.judge.resolvedBy++
			w.judge.stored(nil, "advance", stored)
			w.tell(row.Target.Customer, "a person says that it was charged: %t", r.Charged)
		}
	}
}

// mend ends the bad times: everything works again, usage goes on for a while.
func (w *world) mend() {
	w.ended = true
	w.pending, w.windows, w.actions = nil, nil, nil
	w.away.Store(false)
	w.dbSkew.set(0)
	w.theirSkew.set(0)
	w.readsBad = w.now()
	ctx := context.Background()
	w.usual()
	w.priceBack()
	w.locked(func() { w.high = 0 })
	for _, c := range w.customers {
		w.nativeOff(c.ID)
		w.setCard(c.ID, emulator.CardGood)
		if w.index[topup.CustomerID(c.ID)] >= w.h.Targets {
			_ = w.emu.SwitchEnvironment(c.ID, c.ID)
		}
	}
	for _, p := range slices.Clone(w.judge.pauses) {
		w.unpause(p.Pause)
	}
	for _, c := range w.customers { // a person lifts what only a person may
		r, err := w.store.Resume(ctx, topup.Pause{Scope: topup.PauseCustomer, Subject: c.ID, Reason: "mended", By: "sim"})
		if err == nil && r.Refunds > 0 {
			delete(w.judge.refunds, topup.CustomerID(c.ID))
		}
	}
	for _, id := range w.providers() {
		w.unpause(topup.Pause{Scope: topup.PauseProvider, Provider: id, Reason: "mended", By: "sim"})
	}
	for n, r := range w.replicas {
		switch {
		case r == nil:
			w.start(n)
		default:
			r.skew.set(0)
			r.frozenUntil.Store(0)
		}
	}
	w.tell("", "* everything works again")
	w.after(sampleEvery, w.sample)
	w.after(min(20*time.Minute, max(5*time.Minute, w.h.Length/4)), func() {
		w.emu.StopUsage()
		w.judge.deadline = w.now().Add(3 * time.Hour)
		w.after(time.Minute, w.settle)
	})
}

func (w *world) providers() []topup.ProviderID {
	ids := []topup.ProviderID{hyperlineID}
	for _, c := range w.customers {
		if c.Provider == "talkover" {
			ids = append(ids, talkoverID(c.ID))
		}
	}
	return ids
}

// settle waits until nothing is open any more, then ends the replicas.
func (w *world) settle() {
	for n, r := range w.replicas { // whoever was on its way down when times got better
		if r == nil {
			w.start(n)
		}
	}
	if w.judge.uncredited() && w.now().Before(w.judge.deadline) {
		w.after(time.Minute, w.settle)
		return
	}
	for _, r := range w.replicas {
		if r != nil {
			r.restart = -1
			r.stop()
		}
	}
	w.after(time.Second, w.finish)
}

// finish ends the history when every process has ended.
func (w *world) finish() {
	for _, r := range w.all {
		select {
		case <-r.ended:
		default:
			w.after(time.Second, w.finish)
			return
		}
	}
	w.judge.close()
	w.finished = true
}

// sample asks every five minutes whether anybody is low in silence.
func (w *world) sample() {
	w.judge.silence()
	w.after(sampleEvery, w.sample)
}
