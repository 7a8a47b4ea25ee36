package scheduler

import (
	"testing"
	"time"

	"topupd/topup"
)

func TestARepeatKnowsTheRowsOfItsOwnConfirmRead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		p := w.sent(t, "cus")
		w.confirming = func(_ topup.Order, c *topup.Confirmation) {
			c.Reading.RefreshedAt = time.Now().Add(-3 * time.Minute) // not refreshed since
			c.Topups = []topup.Topup{{ID: "big", Invoice: "inv_big", Credits: 600 * topup.Credit, PriceID: "pri_large", At: time.Now().Add(-time.Minute)}}
		}
		got, err := w.process("a").Again(t.Context(), p)
		if err != nil || got.Reason == topup.Buy {
			t.Errorf("repeats although the customer bought 600 credits a minute ago and the balance is older: %+v, %v", got, err)
		}
	})
}

func TestARemovedRuleLeavesReadingsForItsOpenPurchase(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		now := time.Now()
		p := topup.Purchase{ID: "0193-conf", Target: target("cus"), State: topup.Confirmed, Reference: "inv_1", ConfirmedAt: &now}
		w.ledger.of("cus", func(s *topup.Standing) { s.Open = &p })
		d := w.run(t, "a")
		after(10 * time.Second)
		if _, ok := d.Latest(target("cus")); !ok {
			t.Fatal("no reading before")
		}
		w.mu.Lock()
		w.book = &Rulebook{}
		w.mu.Unlock()
		after(30 * time.Second)
		if _, ok := d.Latest(target("cus")); !ok {
			t.Error("no reading any more: the confirmed purchase can never settle")
		}
	})
}
