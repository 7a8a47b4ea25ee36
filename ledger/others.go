package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"topupd/topup"
)

// maxOthers bounds what may have raised one balance, inclusive. More is an
// error: what is not seen could be the explanation.
const maxOthers = 1000

// Others lists what else may have raised the balance of the purchase's target:
// purchases planned since then, sent at the same host and not cancelled, the
// target's own included, and additions that were imported for the target.
func (s *Store) Others(ctx context.Context, p topup.Purchase, since time.Time) (topup.Others, error) {
	var o topup.Others
	err := s.read(ctx, "others", func(ctx context.Context, v view) (err error) {
		host := hostOf(p.Target.Provider)
		o.Purchases, err = v.purchases(ctx, `provider IN (SELECT id FROM provider WHERE substr(id, 1, ?) = ?) AND planned_at >= ? AND id <> ?
			AND last_sent_at IS NOT NULL AND state <> 'cancelled' ORDER BY planned_at, id LIMIT ?`,
			len(host), host, micros(since), p.ID, maxOthers+1)
		if err != nil {
			return err
		}
		o.External, err = v.externalSince(ctx, p.Target, since)
		return err
	})
	if err == nil && max(len(o.Purchases), len(o.External)) > maxOthers {
		err = fmt.Errorf("more than %d since %s: nobody can tell which raised the balance", maxOthers, since.UTC().Format(time.RFC3339))
	}
	return o, err
}

// Elsewhere lists what other accounts at the same host showed last, of those
// that have sent a purchase planned since then, by account.
func (s *Store) Elsewhere(ctx context.Context, p topup.Purchase, since time.Time) ([]topup.Shown, error) {
	var list []topup.Shown
	err := s.read(ctx, "elsewhere", func(ctx context.Context, v view) error {
		host := hostOf(p.Target.Provider)
		var accounts []string
		if err := v.list(ctx, &accounts, `SELECT id FROM provider AS a WHERE substr(id, 1, ?) = ? AND id <> ?
			AND EXISTS (SELECT 1 FROM purchase AS p WHERE p.provider = a.id AND p.planned_at >= ? AND p.last_sent_at IS NOT NULL)
			ORDER BY id`, len(host), host, string(p.Target.Provider), micros(since)); err != nil {
			return err
		}
		for _, account := range accounts {
			f := Filter{Provider: topup.ProviderID(account)}
			if err := v.targets(ctx, f, func(r evaluationRow) {
				if r.BalanceMicro != nil && r.ReadAt != nil {
					list = append(list, topup.Shown{Account: f.Provider, Level: topup.Level{
						Balance: topup.Credits(*r.BalanceMicro), ReadAt: instant(*r.ReadAt), AsOf: value(r.RefreshedAt),
					}})
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func (v view) externalSince(ctx context.Context, target topup.Target, since time.Time) ([]topup.Topup, error) {
	var rows []struct {
		ID      string `db:"id"`
		Invoice string `db:"invoice"`
		Credits int64  `db:"credits_micro"`
		Source  string `db:"source"`
		At      int64  `db:"at"`
	}
	err := v.list(ctx, &rows, `SELECT id, invoice, credits_micro, source, at FROM external_topup
		WHERE provider = ? AND customer = ? AND product = ? AND at >= ? ORDER BY at, id LIMIT ?`,
		string(target.Provider), string(target.Customer), string(target.Product), micros(since), maxOthers+1)
	var list []topup.Topup
	for _, r := range rows {
		list = append(list, topup.Topup{
			ID: r.ID, Invoice: r.Invoice, Credits: topup.Credits(r.Credits), Source: r.Source, At: instant(r.At),
		})
	}
	return list, err
}

// hostOf is the part of a provider's identity that its accounts at one host
// share: "talkover://app.talkover.ai/".
func hostOf(id topup.ProviderID) string {
	kind, rest, _ := strings.Cut(string(id), "://")
	host, _, _ := strings.Cut(rest, "/")
	return kind + "://" + host + "/"
}
