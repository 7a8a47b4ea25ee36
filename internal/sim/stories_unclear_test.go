package sim

import (
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// creditedBy is what became of a purchase of unknown outcome that went well.
func creditedBy(by, of string, requests int) outcome {
	return outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: by, Of: of, Requests: requests}
}

// TestStoryTheQuietPeriodCountsFromTheLastSend: P3, P4. The process is killed
// before it writes, and the repeat is slow. Nobody may say "not charged" while
// the repeat may still run, and it is not in review: what it made is found.
func TestStoryTheQuietPeriodCountsFromTheLastSend(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(r *replica) { s.kill(r.n, time.Minute) })
		s.request(0, 1, "none", 10*time.Minute) // the first that arrives is the repeat
		s.when(func() bool { return s.row(0, 1).Repeats == 1 }, func() {
			s.after(9*time.Minute, func() {
				p := s.row(0, 1)
				p.State = topup.NeedsReview // as if it had needed review at once
				_, err := topup.Resolved(p, topup.Resolution{Note: "not in the books", By: "sim"}, s.dbNow())
				if s.row(0, 1).State != topup.Sent || err == nil || len(s.ordered(0)) != 0 {
					t.Errorf("%s, resolving says %v, %d orders: want it sent, and no word of a person taken yet", s.row(0, 1).State, err, len(s.ordered(0)))
				}
			})
		})
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", creditedBy("evidence", "api", 2))
}

// TestStoryTheReadBeforeARepeatSeesOurOwnRow: P4. Both looks were empty, and the
// charge is executed right before the confirm read of the repeat, later than the
// quiet period allows for. The row is evidence there: nothing is repeated, and
// nothing imported.
func TestStoryTheReadBeforeARepeatSeesOurOwnRow(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "none", 16*time.Minute)
		used := false // the pack, before the read: it would be bought again
		s.when(func() bool { return len(s.ordered(0)) > 0 }, func() {
			s.balance(0, "80")
			used = true
		})
		s.when(s.is(0, 1, topup.Sent), func() {
			s.hold(s.visit("standing", 0), func() bool { return used }) // of the repeat
		})
		s.when(s.is(0, 1, topup.Confirmed), func() { s.balance(0, "150") })
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.told("not repeated", "which may be this purchase")
	s.want("api 1", creditedBy("evidence", "api", 1))
	if list := s.ending.external[topup.CustomerID(s.customers[0].ID)]; len(list) != 0 {
		t.Errorf("imported as the customer's: %v", list)
	}
}

// TestStoryTheBalanceIsLateAfterThePurchaseOfAnother: P5. The customer buys
// between the two low readings. The ledger row shows minutes before the balance
// does, and all that while the balance reads low, long after the cooldown. No
// reading from before the row counts.
func TestStoryTheBalanceIsLateAfterThePurchaseOfAnother(t *testing.T) {
	stale := 0
	h := alone(2, 1, 0)
	h.Seed = 7 // which draws an early row and a late balance
	s := play(t, h, func(s *script) {
		rows := "/v1/customers/" + s.customers[0].ID + "/credits/" + emulator.Product + "/transactions?type=topup"
		s.at(time.Minute, func() {
			s.balance(0, "90")
			s.emu.SetFaults(emulator.Faults{LatePosting: 20 * time.Minute})
			s.portal(0, emulator.SmallPack)
		})
		// The process stands still with its low reading until the row is listed.
		s.hold(s.visit("standing", 0), func() bool { return strings.Contains(s.get(rows), "cdt_") })
		for m := 2 * time.Minute; m < 25*time.Minute; m += time.Minute {
			s.at(m, func() {
				if s.reason(0) == topup.StaleReading {
					stale++
				}
			})
		}
		s.at(30*time.Minute, s.end)
	})
	if stale < 3 {
		t.Errorf("a reading was too old for %d minutes: want some, else this tests nothing", stale)
	}
	s.want("portal 1")
	if got := len(s.ending.external[topup.CustomerID(s.customers[0].ID)]); got != 1 {
		t.Errorf("%d additions are known as the customer's, want the one", got)
	}
}

// TestStoryTheBooksCannotBeReadForTwelveHours: P3, P16. Balances are read well,
// one list is not: the look is never complete. The reason is trouble after 15
// minutes, after 12 hours the purchase needs review, and when the list is back,
// what it shows takes the purchase up again.
func TestStoryTheBooksCannotBeReadForTwelveHours(t *testing.T) {
	h := alone(1, 1, 0)
	h.Poll = time.Minute
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "charge_then_drop", 0)
		s.reads("/v2/invoices", "read_500", func() bool { return s.row(0, 1).SentAt != nil && s.now().Sub(began) < 13*time.Hour })
		s.at(3*time.Minute, func() { s.balance(0, "80") }) // used up
		s.at(40*time.Minute, func() {
			if got := s.judge.states[topup.CustomerID(s.customers[0].ID)]; got.Reason != topup.ProviderUnavailable || got.TroubleSince.IsZero() {
				t.Errorf("the picture says %s, trouble since %s: want %s", got.Reason, got.TroubleSince, topup.ProviderUnavailable)
			}
		})
		s.at(12*time.Hour-time.Minute, func() {
			if got := s.row(0, 1).State; got != topup.Sent {
				t.Errorf("%s before 12 hours are over, want sent", got)
			}
		})
		s.endBy(15*time.Hour, 5*time.Minute, s.is(0, 2, topup.Credited))
	})
	late := creditedBy("evidence", "api", 1)
	late.Path = "planned sent needs_review confirmed credited"
	s.want("api 2", late, creditedBy("answer", "api", 1)) // the second is what the customer has needed since
}

// TestStoryTheProvidersOwnTopUpDoesNotDeliver: P8, P16. It is switched on, so
// topupd does not buy; its card is refused, so nobody else does. After 15
// minutes that is an alert.
func TestStoryTheProvidersOwnTopUpDoesNotDeliver(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		id := s.customers[0].ID
		_ = s.emu.SetCard(id, emulator.CardDeclined)
		_ = s.emu.SetAutoTopup(id, true)
		s.judge.native(topup.CustomerID(id), true)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.at(17*time.Minute, func() {
			got := s.judge.states[topup.CustomerID(id)]
			if since := s.now().Sub(got.TroubleSince); got.Reason != topup.NativeAutoTopup || since < 15*time.Minute || since > 17*time.Minute {
				t.Errorf("the picture says %s, in trouble for %s: want %s for 15 minutes", got.Reason, since, topup.NativeAutoTopup)
			}
			s.end()
		})
	})
	s.want("")
}

// TestStoryARepeatIsDecidedAndTheProcessStopsForADay: P4. The provider has
// forgotten the key by then. The permit refuses, the old purchase is given up as
// never seen, and the need is met by a new one.
func TestStoryARepeatIsDecidedAndTheProcessStopsForADay(t *testing.T) {
	h := alone(1, 1, 0)
	h.Poll = time.Minute
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "hang_without_charging", 0)
		decided := func(v *visitor) bool { return v.what == "step connected" && v.about == "repeat" }
		s.moments = append(s.moments, moment{what: decided, do: func(v *visitor) { s.freeze(v.by.n, 24*time.Hour) }})
		s.endBy(26*time.Hour, time.Minute, s.is(0, 2, topup.Credited))
	})
	s.told("repeating the request", "asking for the permit")
	s.want("api 1",
		outcome{Path: "planned sent declined", Payment: topup.PaymentNone, Reason: topup.FailedNotFound, Requests: 1},
		creditedBy("answer", "api", 1))
}

// TestStoryTwoIdenticalPurchasesAMinuteApart: P1, P5. Ours was confirmed and
// seen, then the customer used the pack up: the second one is another need, with
// an invoice of its own, although the answer to it is lost.
func TestStoryTwoIdenticalPurchasesAMinuteApart(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 2, "charge_then_drop", 0)
		s.at(2*time.Minute, func() { s.balance(0, "90") })
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 2, topup.Credited))
	})
	s.want("api 2", creditedBy("answer", "api", 1), creditedBy("evidence", "api", 1))
	if rows := s.ending.rows; len(rows) == 2 && (rows[0].Reference == rows[1].Reference || rows[1].PlannedAt.Sub(rows[0].PlannedAt) > 75*time.Second) {
		t.Errorf("%s and %s, %s apart: want two invoices a minute apart", rows[0].Reference, rows[1].Reference, rows[1].PlannedAt.Sub(rows[0].PlannedAt))
	}
}

// TestStoryAPortalPurchaseInTheWindowAndOurs: P3. Our request was executed and
// its answer lost; a minute later the customer buys the same pack. The earliest
// is ours, the other is known as the customer's.
func TestStoryAPortalPurchaseInTheWindowAndOurs(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "charge_then_drop", 0)
		s.at(2*time.Minute, func() { s.portal(0, emulator.SmallPack) })
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1, portal 1", creditedBy("evidence", "api", 1))
	if got := len(s.ending.external[topup.CustomerID(s.customers[0].ID)]); got != 1 {
		t.Errorf("%d additions are known as the customer's, want the one", got)
	}
}

// TestStoryAPortalPurchaseInTheWindowAndNotOurs: P3, P4. Our request never ran.
// What the customer bought covers the need, so nothing is repeated.
func TestStoryAPortalPurchaseInTheWindowAndNotOurs(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "drop_without_charging", 0)
		s.at(2*time.Minute, func() { s.portal(0, emulator.SmallPack) })
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("portal 1", creditedBy("evidence", "portal", 1))
}

// TestStoryAnInvoiceWithoutALedgerRow: P3, P9. The answer is lost, and the order
// left an unpaid invoice: no credits, no row. The invoice alone is evidence, and
// nothing is bought beside it until it is paid and the credits are there.
func TestStoryAnInvoiceWithoutALedgerRow(t *testing.T) {
	s := play(t, refused(emulator.DeclineCreatedUnpaid, 2*time.Hour), func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "charge_then_drop", 0)
		s.card(time.Hour, emulator.CardGood)
		s.at(time.Hour, func() {
			if p := s.row(0, 1); p.State != topup.Confirmed || p.Payment != topup.PaymentPending || p.RowAt != nil {
				t.Errorf("%s, payment %s, row at %v: want it confirmed by the invoice alone", p.State, p.Payment, p.RowAt)
			}
		})
		s.endBy(4*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", creditedBy("evidence", "api", 1))
}

// TestStoryALedgerRowTenMinutesLate: P5. The answer is a clear yes, and neither
// the row nor the balance shows for minutes: the purchase blocks until they do.
func TestStoryALedgerRowTenMinutesLate(t *testing.T) {
	h := alone(2, 1, 0)
	h.ListLate, h.Seed = 10*time.Minute, 19 // which draws an early invoice, and almost all of it for the rest
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", creditedBy("answer", "api", 1))
	if len(s.ending.books.Charges) != 1 {
		return // said by now
	}
	charge := s.ending.books.Charges[0]
	if late := charge.VisibleAt.Sub(charge.At); late < 9*time.Minute || s.ending.rows[0].FinishedAt.Before(charge.VisibleAt) {
		t.Errorf("it showed after %s and was credited %s: want minutes, and credited afterwards", late, s.ending.rows[0].FinishedAt)
	}
}

// TestStoryAChargeIsAcceptedAfterOurTimeout: P3. Five minutes after the request,
// long after its sender has given up; found, and never repeated.
func TestStoryAChargeIsAcceptedAfterOurTimeout(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "none", 5*time.Minute)
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", creditedBy("evidence", "api", 1))
}
