package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"topupd/topup"
)

// drawFacts spoils a target that deserves a purchase by none, one or several of
// the rows of the table, and moves balances and times around their boundaries.
func drawFacts(t *rapid.T) Facts {
	f := low()
	if rapid.IntRange(0, 9).Draw(t, "repeating") == 0 {
		f = repeating()
	}
	var rows []row
	for _, some := range [][]row{rowsOfReadings, rowsOfChoices, rowsOfPurchases, rowsOfPaying} {
		rows = append(rows, some...)
	}
	for range rapid.IntRange(0, 3).Draw(t, "spoilt") {
		i := rapid.IntRange(0, len(rows)-1).Draw(t, "row")
		if f.Confirmation != nil {
			rows[i].spoil(&f)
		}
	}
	balance := rapid.Custom(func(t *rapid.T) topup.Credits {
		near := topup.Credits(rapid.Int64Range(-2, 2).Draw(t, "near"))
		return near + rapid.SampledFrom([]topup.Credits{-topup.MaxCredits, -topup.Credit, 0, 50 * topup.Credit, 99 * topup.Credit, 100 * topup.Credit, topup.MaxCredits}).Draw(t, "around")
	})
	if rapid.Bool().Draw(t, "other first balance") {
		f.Reading.Balance = balance.Draw(t, "first")
	}
	if f.Confirmation != nil && rapid.Bool().Draw(t, "other second balance") {
		f.Confirmation.Reading.Balance = balance.Draw(t, "second")
	}
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		f.Now = f.Now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "by")))
	}
	return f
}

// copied is the same facts at other addresses, so that whatever Decide writes
// to the one cannot hide in the other.
func copied(f Facts) Facts {
	if f.Reading != nil {
		r := *f.Reading
		f.Reading = &r
	}
	if f.Confirmation != nil {
		c := *f.Confirmation
		f.Confirmation = &c
	}
	if f.Rule != nil {
		r := *f.Rule
		f.Rule = &r
	}
	return f
}

func TestDecideIsPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		before := copied(f)
		first, second := Decide(f), Decide(before)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("the same facts gave two decisions:\n%s", diff)
		}
		if diff := cmp.Diff(before, f, cmp.Comparer(func(a, b *topup.Purchase) bool { return a == b })); diff != "" {
			t.Fatalf("Decide changed its facts:\n%s", diff)
		}
	})
}

func TestDecideAlwaysAnswersWithAReasonOfTheList(t *testing.T) {
	t.Parallel()
	known := map[topup.Reason]bool{}
	for _, r := range topup.Reasons() {
		known[r] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		if d := Decide(drawFacts(t)); !known[d.Reason] || d.Text == "" {
			t.Fatalf("Decide() = %q (%s)", d.Reason, d.Text)
		}
	})
}

func TestRaisingABalanceNeverMakesAPurchase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		richer := copied(f)
		by := topup.Credits(rapid.Int64Range(0, int64(1000*topup.Credit)).Draw(t, "richer by"))
		switch rapid.IntRange(0, 2).Draw(t, "which") {
		case 0:
			richer.Reading.Balance += by
		case 1:
			if richer.Confirmation != nil {
				richer.Confirmation.Reading.Balance += by
			}
		default:
			richer.Reading.Balance += by
			if richer.Confirmation != nil {
				richer.Confirmation.Reading.Balance += by
			}
		}
		was, is := Decide(f).Reason, Decide(richer).Reason
		if was == topup.ProvingPrice || was == topup.PriceUnproven {
			return // more may need a smaller pack, whose price is known
		}
		if was != topup.Buy && is == topup.Buy {
			t.Fatalf("%q became a purchase by adding %s credits", was, by)
		}
	})
}

// A purchase needs all of this, whatever else the facts say.
func TestDecideBuysOnlyWhen(t *testing.T) {
	t.Parallel()
	bought := 0
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		d := Decide(f)
		if d.Reason != topup.Buy {
			return
		}
		bought++
		c := f.Confirmation
		mine := f.Repeating != nil && f.Standing.Open != nil && f.Standing.Open.ID == f.Repeating.ID
		for claim, holds := range map[string]bool{
			"the target was read again":             c != nil,
			"both readings are numbers":             c != nil && f.Reading.Bad == "" && c.Reading.Bad == "",
			"both are below the threshold":          c != nil && f.Reading.Balance < *d.Threshold && c.Reading.Balance < *d.Threshold,
			"both are young":                        c != nil && f.Now.Sub(f.Reading.ReadAt) <= f.Rule.MaxReadingAge && f.Now.Sub(c.Reading.ReadAt) <= f.Rule.MaxReadingAge,
			"both are newer than every known row":   c != nil && !before(f.Reading.RefreshedAt, f.Standing.NewestRowAt) && !before(c.Reading.RefreshedAt, f.Standing.NewestRowAt),
			"they are confirm_after apart":          c != nil && f.FirstLow != nil && c.Reading.ReadAt.Sub(*f.FirstLow) >= f.Rule.ConfirmAfter,
			"no other purchase is open":             f.Standing.Open == nil || mine,
			"nobody paused it":                      topup.Covering(f.Standing.Pauses, f.Reading.Target, f.Rule.Name, f.Standing.Now) == nil,
			"the provider does not top up":          f.AllowNative || c != nil && f.Reading.Native == "" && c.Reading.Native == "",
			"price, currency and environment agree": c != nil && c.PriceProblem+c.CurrencyProblem+c.EnvironmentProblem+c.NativeProblem == "",
			"no credit invoice has failed":          c != nil && !hasFailed(c.Invoices),
			"no cap is passed":                      f.OverCap == nil,
			"it is not a dry run":                   !f.Rule.DryRun || f.Repeating != nil,
			"nothing is held":                       f.Standing.Implausible+f.Standing.Quarantined+f.Standing.Stopped+f.Standing.Refunded == "" && (f.Standing.SuspendedAt == nil || f.otherTerms()),
			"nobody else goes first at the price":   f.Repeating != nil || !waitsForCanary(f, d.Order),
			"no change holds it":                    mine || !f.Standing.Raised.Holds(c.Reading.Balance),
			"something is bought":                   d.Order.Credits > 0 && d.Order.Price.Minor > 0,
		} {
			if !holds {
				t.Errorf("bought although it is not true that %s", claim)
			}
		}
	})
	if bought == 0 {
		t.Error("nothing was ever bought: the property proves nothing")
	}
}

func before(at time.Time, row *time.Time) bool { return row != nil && at.Before(*row) }

func hasFailed(invoices []topup.Invoice) bool {
	for _, i := range invoices {
		if i.Credit && i.Payment == topup.PaymentFailed {
			return true
		}
	}
	return false
}

func waitsForCanary(f Facts, o topup.Order) bool {
	return slices.ContainsFunc(f.Standing.Canaries, func(c topup.Canary) bool { return c.Of(f.Rule.Name, o) && c.Waits(f.Standing.Now) })
}
