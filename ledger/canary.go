package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// canaryRow is what is known about one price of a rule at a provider.
type canaryRow struct {
	Rule          string `db:"rule"`
	PriceID       string `db:"price_id"`
	PriceMinor    int64  `db:"price_minor"`
	PriceCurrency string `db:"price_currency"`
	CreditsMicro  int64  `db:"credits_micro"`
	PassedAt      *int64 `db:"passed_at"`
	Purchase      string `db:"purchase"`
	NextAt        *int64 `db:"next_at"`
	SinceAt       *int64 `db:"since_at"`
}

const canaryColumns = `rule, price_id, price_minor, price_currency, credits_micro, passed_at, purchase, next_at, since_at`

// ofPrice is the condition that names one row, for the arguments of priceKey.
const ofPrice = `provider = ? AND rule = ? AND price_id = ? AND price_minor = ? AND price_currency = ? AND credits_micro = ?`

func priceKey(p topup.Purchase) []any {
	return []any{string(p.Target.Provider), p.Rule, p.PriceID, p.Price.Minor, string(p.Price.Currency), int64(p.Credits)}
}

func (r canaryRow) canary() topup.Canary {
	return topup.Canary{
		Rule: r.Rule, PriceID: r.PriceID, Price: topup.Money{Minor: r.PriceMinor, Currency: topup.Currency(r.PriceCurrency)},
		Credits: topup.Credits(r.CreditsMicro), PassedAt: pointer(r.PassedAt), Purchase: r.Purchase,
		NextAt: pointer(r.NextAt), Since: pointer(r.SinceAt),
	}
}

// canaries lists what is known about every price at the provider.
func (v view) canaries(ctx context.Context, provider topup.ProviderID) ([]topup.Canary, error) {
	var rows []canaryRow
	if err := v.list(ctx, &rows, `SELECT `+canaryColumns+` FROM canary WHERE provider = ? ORDER BY rule, price_id, price_minor, credits_micro`, string(provider)); err != nil {
		return nil, fmt.Errorf("the prices that were shown: %w", err)
	}
	var list []topup.Canary
	for _, r := range rows {
		list = append(list, r.canary())
	}
	return list, nil
}

// goesAlone lets one purchase go first at a price that nothing has shown to be what
// is billed, and refuses the others meanwhile (P10). Whoever comes second waits for
// the row, so that two processes let one go.
func (t tx) goesAlone(ctx context.Context, p topup.Purchase, now time.Time) error {
	var row canaryRow
	find := func(lock string) (topup.Canary, error) {
		row = canaryRow{}
		_, err := t.find(ctx, &row, `SELECT `+canaryColumns+` FROM canary WHERE `+ofPrice+lock, priceKey(p)...)
		return row.canary(), err
	}
	if c, err := find(""); err != nil || c.Passed(now) {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO canary (provider, rule, price_id, price_minor, price_currency, credits_micro)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, priceKey(p)...); err != nil {
		return fmt.Errorf("the price of rule %s: %w", p.Rule, err)
	}
	c, err := find(t.store.sql.update)
	switch {
	case err != nil || c.Passed(now):
		return err
	case c.Waits(now):
		return fmt.Errorf("%w: %s", topup.ErrProvingPrice, c)
	}
	if p.PriceID != "" { // the price had another amount or pack before: that is shown no more
		if _, err := t.exec(ctx, `DELETE FROM canary WHERE provider = ? AND rule = ? AND price_id = ? AND NOT (`+ofPrice+`)`,
			append([]any{string(p.Target.Provider), p.Rule, p.PriceID}, priceKey(p)...)...); err != nil {
			return fmt.Errorf("the price of rule %s before: %w", p.Rule, err)
		}
	}
	since, next := micros(now), micros(now.Add(topup.Scaled(topup.CanaryEvery, p.QuietPeriod)))
	if c.Purchase != "" && row.SinceAt != nil {
		since = *row.SinceAt
	}
	return t.one(ctx, "letting a purchase go first", `UPDATE canary SET passed_at = NULL, purchase = ?, next_at = ?, since_at = ? WHERE `+ofPrice,
		append([]any{p.ID, next, since}, priceKey(p)...)...)
}

// showPrice notes what the step shows about the price: that it is what is billed,
// that it is not, or that this purchase will show nothing.
func (s step) showPrice(ctx context.Context) error {
	p := s.Next
	update := func(set string, args []any, where string, more ...any) error {
		if _, err := s.tx.exec(ctx, `UPDATE canary SET `+set+` WHERE `+ofPrice+where, append(append(args, priceKey(p)...), more...)...); err != nil {
			return fmt.Errorf("noting what the bill shows: %w", err)
		}
		return nil
	}
	notBought := s.ends() && p.State != topup.Credited || p.Refused && s.before.Refused == 0
	switch {
	case s.Priced:
		return update(`passed_at = ?, purchase = '', next_at = NULL, since_at = NULL`, []any{micros(s.now)}, "")
	case p.Charged != nil && s.before.ChargedMinor == nil:
		return update(`passed_at = NULL`, nil, "")
	case notBought:
		return update(`purchase = '', next_at = NULL`, nil, ` AND purchase = ?`, p.ID)
	default:
		return nil
	}
}

// DoubtPrice forgets that the price was shown: the provider shows another one now,
// and what it charges when it has gone back to this one is to be seen anew.
func (s *Store) DoubtPrice(ctx context.Context, provider topup.ProviderID, rule, priceID string) error {
	return s.write(ctx, "doubt_price", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `UPDATE canary SET passed_at = NULL WHERE provider = ? AND rule = ? AND price_id = ?`, string(provider), rule, priceID)
		return err
	})
}
