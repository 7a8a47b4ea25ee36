package emulator

import (
	"fmt"
	"slices"
	"time"

	"github.com/govalues/decimal"
)

// Customer is one balance as it truly is: a Hyperline customer's credit or a
// Talkover environment.
type Customer struct {
	Provider   string  `json:"provider"`
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Product    string  `json:"product"`
	Balance    string  `json:"balance"`   // decimal
	Threshold  string  `json:"threshold"` // decimal, "" if none
	PerSecond  string  `json:"usage_per_second"`
	Card       Card    `json:"card"`
	AutoTopup  bool    `json:"auto_topup"`
	Archived   bool    `json:"archived"`
	DrySeconds float64 `json:"dry_seconds"` // spent at or below zero so far

	UserToken            string `json:"user_token,omitempty"`             // Talkover
	EnvironmentToken     string `json:"environment_token,omitempty"`      // Talkover
	CurrentEnvironmentID string `json:"current_environment_id,omitempty"` // of the user, Talkover
}

// Customers lists everybody, Hyperline first, in order of creation.
func (e *Emulator) Customers() []Customer {
	var out []Customer
	e.world.locked(func(now time.Time) {
		for _, cr := range e.hyperline.credits {
			e.hyperline.use(cr, now)
			out = append(out, cr.describe())
		}
		for _, env := range e.talkover.envs {
			e.talkover.use(env, now)
			out = append(out, env.describe())
		}
	})
	return out
}

func (cr *credit) describe() Customer {
	c := Customer{
		Provider: HyperlineName, ID: cr.owner.id, Name: cr.owner.name, Product: cr.product.id,
		Balance: cr.balance.String(), PerSecond: cr.meter.rate.String(), Card: cr.owner.card,
		AutoTopup: cr.auto != nil, Archived: cr.owner.archived, DrySeconds: cr.dry.Seconds(),
	}
	if cr.threshold != nil {
		c.Threshold = cr.threshold.String()
	}
	return c
}

func (env *environment) describe() Customer {
	return Customer{
		Provider: TalkoverName, ID: env.id, Name: env.name, Product: "credits",
		Balance: env.balance.String(), Threshold: env.native.threshold.String(), PerSecond: env.meter.rate.String(),
		Card: env.cards[0].state, AutoTopup: env.native.enabled, DrySeconds: env.dry.Seconds(),
		UserToken: env.owner.token, EnvironmentToken: env.token, CurrentEnvironmentID: env.owner.current.id,
	}
}

// of runs the function of the provider that knows the customer or environment.
func (e *Emulator) of(id string, atHyperline func(*credit, time.Time) error, atTalkover func(*environment, time.Time) error) error {
	err := fmt.Errorf("emulator: no customer or environment %.60q: GET /_emulator/customers lists them", id)
	e.world.locked(func(now time.Time) {
		if owner := e.hyperline.byID[id]; owner != nil && len(owner.credits) == 0 {
			err = fmt.Errorf("emulator: %s has no credits yet: POST /v1/customers/%s/credits attaches the product", id, id)
		} else if owner != nil {
			e.hyperline.use(owner.credits[0], now)
			err = atHyperline(owner.credits[0], now)
		} else if env := e.talkover.byID[id]; env != nil {
			e.talkover.use(env, now)
			err = atTalkover(env, now)
		}
	})
	return err
}

// bounded reads a setter's number, 0 or more unless negative is allowed.
func bounded(what string, d decimal.Decimal, negative bool) (quantity, error) {
	q, err := toQuantity(d)
	if err != nil {
		return 0, fmt.Errorf("emulator: %s: %w", what, err)
	}
	if q < 0 && !negative {
		return 0, fmt.Errorf("emulator: %s is %s: use 0 or more", what, q)
	}
	return q, nil
}

// SetUsage changes what a customer or environment uses per second; 0 stops it.
func (e *Emulator) SetUsage(id string, perSecond decimal.Decimal) error {
	rate, err := bounded("usage", perSecond, false)
	if err != nil {
		return err
	}
	return e.of(id,
		func(cr *credit, now time.Time) error { cr.meter.rate, cr.meter.at = rate, now; return nil },
		func(env *environment, now time.Time) error { env.meter.rate, env.meter.at = rate, now; return nil })
}

// StopUsage stops everybody's usage until StartUsage.
func (e *Emulator) StopUsage() { e.usage(true) }

// StartUsage lets usage go on after StopUsage.
func (e *Emulator) StartUsage() { e.usage(false) }

func (e *Emulator) usage(stop bool) {
	e.world.locked(func(now time.Time) {
		for _, cr := range e.hyperline.credits {
			e.hyperline.use(cr, now)
		}
		for _, env := range e.talkover.envs {
			e.talkover.use(env, now)
		}
		e.world.stopped = stop
	})
}

// SetBalance makes balance the whole truth at once, charges that are not posted
// yet included. It may be negative.
func (e *Emulator) SetBalance(id string, balance decimal.Decimal) error {
	q, err := bounded("balance", balance, true)
	if err != nil {
		return err
	}
	return e.of(id,
		func(cr *credit, now time.Time) error { cr.reset(q, now); return nil },
		func(env *environment, now time.Time) error {
			env.balance, env.unposted, env.older, env.olderAt = q, nil, q, now
			return nil
		})
}

// SetThreshold changes low_count_threshold at Hyperline, nil for none, and the
// threshold of native auto top-up at Talkover, where nil is refused.
func (e *Emulator) SetThreshold(id string, threshold *decimal.Decimal) error {
	var q *quantity
	if threshold != nil {
		parsed, err := bounded("threshold", *threshold, false)
		if err != nil {
			return err
		}
		q = &parsed
	}
	return e.of(id,
		func(cr *credit, now time.Time) error { cr.threshold, cr.updated = q, now; return nil },
		func(env *environment, now time.Time) error {
			if q == nil {
				return fmt.Errorf("emulator: %s: Talkover has no way to have no threshold: give a number", id)
			}
			env.native.threshold, env.native.updated = *q, now
			return nil
		})
}

// SetCard replaces the payment method by one of another id, if it is another
// kind. A customer whose card becomes good is
// charged at once for every invoice in error (Hyperline docs,
// /docs/payments/payment-errors, read 2026-11-20); unpaid ones that are still
// retried wait for their retry.
func (e *Emulator) SetCard(id string, card Card) error {
	if !slices.Contains([]Card{CardGood, CardDeclined, CardMissing, CardDirectDebit}, card) {
		return fmt.Errorf("emulator: card %.40q is unknown: use good, declined, missing or direct_debit", card)
	}
	return e.of(id,
		func(cr *credit, now time.Time) error {
			if card != cr.owner.card { // another one, not the old one repaired
				cr.owner.methodID = e.hyperline.id("pm_")
			}
			cr.owner.card, cr.owner.errored, cr.owner.updated = card, false, now
			e.hyperline.touched()
			for _, inv := range cr.owner.invoices {
				if inv.status == "error" && (card == CardGood || card == CardDirectDebit) && !inv.collecting() {
					e.hyperline.attempt(inv, "card", false, now)
				}
			}
			return nil
		},
		func(env *environment, now time.Time) error {
			if card == CardDirectDebit {
				return fmt.Errorf("emulator: %s: Talkover knows cards only: use good, declined or missing", id)
			}
			for _, stored := range env.cards {
				e.talkover.replaceCard(env, stored, card, now)
			}
			return nil
		})
}

// SetAutoTopup switches the provider's own auto top-up: at Hyperline of the
// small pack, at Talkover with the environment's settings as they are.
func (e *Emulator) SetAutoTopup(id string, on bool) error {
	return e.of(id,
		func(cr *credit, now time.Time) error {
			cr.auto, cr.updated, cr.nativeAfter = nil, now, time.Time{}
			if pack := cr.product.price(SmallPack); on {
				cr.auto = &autoTopup{credits: pack.pack, price: pack}
			}
			return nil
		},
		func(env *environment, now time.Time) error {
			env.native.enabled, env.native.updated, env.nativeAfter = on, now, time.Time{}
			return nil
		})
}

// SetPrice changes what a Hyperline pack costs from now on, in the smallest
// unit, excluding tax.
func (e *Emulator) SetPrice(price string, amount int64) error {
	if amount <= 0 || amount > maxMinor {
		return fmt.Errorf("emulator: price %d is out of range: use 1 to %d", amount, int64(maxMinor))
	}
	err := fmt.Errorf("emulator: no price %.60q: GET /v1/products lists them", price)
	e.world.locked(func(now time.Time) {
		if p := e.hyperline.product.price(price); p != nil {
			p.amount, p.config.updated = amount, now
			err = nil
		}
	})
	return err
}

// Archive archives a Hyperline customer (cus_), product (itm_) or price
// configuration (prc_, or pri_ of a price in it).
func (e *Emulator) Archive(id string) error {
	err := fmt.Errorf("emulator: nothing to archive is called %.60q: give a cus_, itm_, prc_ or pri_ id", id)
	e.world.locked(func(now time.Time) {
		if owner := e.hyperline.byID[id]; owner != nil {
			owner.archived, owner.updated, err = true, now, nil
			e.hyperline.touched()
		}
		if e.hyperline.product.id == id {
			e.hyperline.product.archived, err = true, nil
		}
		for _, config := range e.hyperline.product.configs {
			inside := slices.ContainsFunc(config.prices, func(p *price) bool { return p.id == id })
			if config.id == id || inside {
				config.archived, config.updated, err = true, now, nil
			}
		}
	})
	return err
}

// PortalPurchase buys as the customer would, past the API: at Hyperline the
// pack named, else the pack ordered last, else the small one; at Talkover the
// environment's recharge amount, from the dashboard.
func (e *Emulator) PortalPurchase(id string, pack ...string) error {
	return e.of(id,
		func(cr *credit, now time.Time) error {
			bundle := cr.product.price(SmallPack)
			for _, inv := range cr.owner.invoices {
				if inv.order.price != nil {
					bundle = inv.order.price
				}
			}
			if len(pack) > 0 {
				if bundle = cr.product.price(pack[0]); bundle == nil {
					return fmt.Errorf("emulator: no price %.60q: GET /v1/products lists them", pack[0])
				}
			}
			o := order{credit: cr, credits: bundle.pack, price: bundle, amount: bundle.amount, source: SourcePortal, style: DeclineRefused}
			if e.hyperline.place(o, now) == nil {
				return fmt.Errorf("emulator: %s: the customer's card is %s: make it good first", id, cr.owner.card)
			}
			return nil
		},
		func(env *environment, now time.Time) error {
			if state := env.cards[0].state; state != CardGood {
				return fmt.Errorf("emulator: %s: the card is %s: make it good first", id, state)
			}
			e.talkover.credit(env, env.native.amount, SourcePortal, nil, now)
			return nil
		})
}

// SwitchEnvironment changes the current environment of the user who came with
// environment id, as a human does in the dashboard: that user's token then reads
// and fills the other wallet.
func (e *Emulator) SwitchEnvironment(id, to string) error {
	err := fmt.Errorf("emulator: no environments %.60q and %.60q: GET /_emulator/customers lists them", id, to)
	e.world.locked(func(time.Time) {
		from, target := e.talkover.byID[id], e.talkover.byID[to]
		if from != nil && target != nil {
			from.owner.current, err = target, nil
		}
	})
	return err
}
