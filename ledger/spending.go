package ledger

import (
	"context"

	"topupd/topup"
)

// Spending is one counter behind the caps in its window of now. A purchase counts
// in the windows that it was planned in, from its plan until it ends without a
// charge.
type Spending struct {
	Scope    topup.CapScope
	Provider topup.ProviderID // of scope provider
	Rule     string           // of scope rule
	Period   topup.CapPeriod
	Currency topup.Currency // "" counts purchases, else money excluding tax
	Total    int64          // purchases, or minor units of Currency
}

// Spending lists the counters of all that is bought, at each provider and by each
// rule, in the hour, day and month of now by the database clock (UTC). What has
// counted nothing in its window is missing.
func (s *Store) Spending(ctx context.Context) ([]Spending, error) {
	var list []Spending
	err := s.read(ctx, "spending", func(ctx context.Context, v view) error {
		list = nil
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		for _, scope := range []topup.CapScope{topup.CapGlobal, topup.CapProvider, topup.CapRule} {
			for _, period := range capPeriods {
				var rows []window
				if err := v.list(ctx, &rows, `SELECT `+windowColumns+` FROM cap_window WHERE scope = ? AND period = ? AND starts_at = ?
					ORDER BY provider, id, currency`, string(scope), string(period), micros(period.Start(now))); err != nil {
					return err
				}
				for _, r := range rows {
					list = append(list, Spending{scope, topup.ProviderID(r.Provider), r.ID, period, topup.Currency(r.Currency), r.Total})
				}
			}
		}
		return nil
	})
	return list, err
}

// NearCap counts the customers of a rule whose own cap is used to four fifths or
// more in its window of now.
func (s *Store) NearCap(ctx context.Context, rule string, c topup.Cap) (customers int, err error) {
	err = s.read(ctx, "near_cap", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		return v.get(ctx, &customers, `SELECT count(*) FROM cap_window w
			WHERE w.scope = 'customer' AND w.period = ? AND w.starts_at = ? AND w.currency = ? AND w.total >= ?
			AND EXISTS (SELECT 1 FROM snapshot s WHERE s.rule = ? AND s.provider = w.provider AND s.customer = w.id)`,
			string(c.Period), micros(c.Period.Start(now)), string(c.Currency), c.Limit-c.Limit/5, rule)
	})
	return customers, err
}
