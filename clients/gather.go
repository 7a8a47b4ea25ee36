package clients

import (
	"cmp"
	"context"
	"slices"

	"topupd/topup"
)

// Poller reads every balance of a connection, page by page.
type Poller interface {
	Poll(ctx context.Context, products []topup.ProductID, page func(topup.Page) error) (topup.Poll, error)
}

// Whole is a pass over every balance with all of its readings.
type Whole struct {
	topup.Poll
	Readings []topup.Reading // one per target, ordered by customer and product
}

// Gather reads every balance and waits for the last, for those who judge an
// account as a whole and are in no hurry. After an error there are no readings.
func Gather(ctx context.Context, s Poller, products []topup.ProductID) (Whole, error) {
	newest := map[topup.Target]topup.Reading{}
	poll, err := s.Poll(ctx, products, func(p topup.Page) error {
		for _, r := range p.Readings {
			newest[r.Target] = r
		}
		return nil
	})
	whole := Whole{Poll: poll}
	if err != nil {
		return whole, err
	}
	whole.Readings = make([]topup.Reading, 0, len(newest))
	for _, r := range newest {
		whole.Readings = append(whole.Readings, r)
	}
	slices.SortFunc(whole.Readings, func(a, b topup.Reading) int {
		return cmp.Or(cmp.Compare(a.Target.Customer, b.Target.Customer), cmp.Compare(a.Target.Product, b.Target.Product))
	})
	return whole, nil
}
