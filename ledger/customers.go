package ledger

import (
	"context"

	"topupd/topup"
)

// Customer is somebody whom the ledger has heard of.
type Customer struct {
	Provider topup.ProviderID // "" for one that is only paused, at every provider
	ID       topup.CustomerID
	Name     string // "" when no reading told it
}

// Known tells whether anybody with the id was read, bought for or paused at the
// provider; "" is every provider.
func (s *Store) Known(ctx context.Context, provider topup.ProviderID, id topup.CustomerID) (known bool, err error) {
	p, c := string(provider), string(id)
	err = s.read(ctx, "known", func(ctx context.Context, v view) error {
		return v.get(ctx, &known, `SELECT
			EXISTS (SELECT 1 FROM snapshot WHERE customer = ? AND (? = '' OR provider = ?))
			OR EXISTS (SELECT 1 FROM provider AS p JOIN target AS t ON t.provider = p.id WHERE t.customer = ? AND (? = '' OR p.id = ?))
			OR EXISTS (SELECT 1 FROM pause WHERE scope = 'customer' AND subject = ? AND (? = '' OR provider IN ('', ?)))`,
			c, p, p, c, p, p, c, p, p)
	})
	return known, err
}

// Customers lists everybody who was read, bought for or paused at the provider;
// "" is every provider. By id, each once per provider and name.
func (s *Store) Customers(ctx context.Context, provider topup.ProviderID) ([]Customer, error) {
	var rows []struct {
		Provider string `db:"provider"`
		Customer string `db:"customer"`
		Name     string `db:"name"`
	}
	err := s.read(ctx, "customers", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT provider, customer, name FROM (
				SELECT provider, customer, customer_name AS name FROM snapshot
				UNION SELECT provider, customer, '' FROM target
				UNION SELECT provider, subject, '' FROM pause WHERE scope = 'customer'
			) AS known WHERE ? = '' OR provider = ? OR provider = '' ORDER BY customer, provider, name DESC`,
			string(provider), string(provider))
	})
	list := make([]Customer, 0, len(rows))
	for _, r := range rows {
		list = append(list, Customer{Provider: topup.ProviderID(r.Provider), ID: topup.CustomerID(r.Customer), Name: r.Name})
	}
	return list, err
}
