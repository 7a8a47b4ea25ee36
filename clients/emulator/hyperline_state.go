package emulator

import (
	"fmt"
	"time"

	"github.com/govalues/decimal"
)

// hyperline is the emulated Hyperline account, guarded by the world's lock.
type hyperline struct {
	*world
	opts      HyperlineOptions
	customers []*customer
	byID      map[string]*customer
	credits   []*credit // in the order of the bulk list
	listings  map[string]*listing
	ticked    int       // whose turn it is next in tick
	listed    []*credit // the bulk list, when it has a balance twice; else nil
	product   *product
	invoices  []*invoice // in the order of their making
	invoiceBy map[string]*invoice
	keys      map[string]*memory
	speed     float64 // of generated usage
	reads     *throttle
	writes    *throttle
}

// Card is the state of a customer's payment method.
type Card string

// What SetCard accepts. DirectDebit exists at Hyperline only.
const (
	CardGood        Card = "good"
	CardDeclined    Card = "declined"
	CardMissing     Card = "missing"
	CardDirectDebit Card = "direct_debit" // pending for HyperlineProfile.SettleAfter, then collected
)

type customer struct {
	id, name, email, externalID string
	country, currency           string
	plan                        string
	archived                    bool
	card                        Card
	methodID                    string
	errored                     bool // shown so after a decline
	created, updated            time.Time
	credits                     []*credit
	invoices                    []*invoice
}

type product struct {
	id, name  string
	archived  bool
	threshold *quantity // low_credits_threshold
	created   time.Time
	configs   []*priceConfig
}

type priceConfig struct {
	id, currency string
	archived     bool
	updated      time.Time
	prices       []*price
}

// price is a bundle: so many credits for so much.
type price struct {
	id     string
	amount int64 // smallest unit, excluding tax
	pack   quantity
	config *priceConfig
}

type autoTopup struct {
	credits quantity
	amount  *int64
	price   *price
}

// credit is one customer's balance of the credit product.
type credit struct {
	owner            *customer
	product          *product
	name             string
	balance          quantity // the truth
	threshold        *quantity
	auto             *autoTopup
	meter            meter
	created, updated time.Time
	batches          []*batch
	rows             []*creditRow // oldest first
	unlisted         quantity     // used since the newest usage row
	lastUsageRow     time.Time
	nativeAfter      time.Time // no native top-up before
	dry              time.Duration

	shown    quantity // what reads say
	shownAt  time.Time
	olderAt  time.Time // an earlier reading, for stale_balance
	older    quantity
	unposted []posting
}

// posting is a charge that the balance does not show before its time.
type posting struct {
	until   time.Time
	credits quantity
}

// batch is credits that expire together; a zero expires never does.
type batch struct {
	left    quantity
	expires time.Time
}

type creditRow struct {
	id, kind, source string
	price            *price
	method, invoice  *string
	event            *string
	expires          *time.Time
	amount           *int64
	credits, after   quantity
	batch            *batch
	created, updated time.Time
	visible          time.Time
	priceAmount      int64 // when it was bought
}

func newHyperline(w *world, o HyperlineOptions, speed float64, now time.Time) *hyperline {
	h := &hyperline{
		world: w, opts: o, speed: speed,
		byID: map[string]*customer{}, invoiceBy: map[string]*invoice{}, keys: map[string]*memory{},
		reads:  newThrottle(o.Reads, 10*time.Second),
		writes: newThrottle(o.Writes, 10*time.Second),
	}
	h.product = newProduct(o.Profile.currency(), now.AddDate(-1, 0, 0))
	for n := range o.Customers {
		h.addCustomer(n, speed, now)
	}
	return h
}

// newProduct is the one credit product with two packs.
func newProduct(currency string, created time.Time) *product {
	config := &priceConfig{id: "prc_4fHsd82KqLmZx0", currency: currency, updated: created}
	config.prices = []*price{
		{id: SmallPack, amount: 20_000, pack: 120 * one, config: config},
		{id: LargePack, amount: 90_000, pack: 600 * one, config: config},
	}
	low := 100 * one
	return &product{id: Product, name: "API credits", threshold: &low, created: created, configs: []*priceConfig{config}}
}

func (p *product) price(id string) *price {
	for _, config := range p.configs {
		for _, price := range config.prices {
			if price.id == id {
				return price
			}
		}
	}
	return nil
}

var (
	firstNames  = []string{"Aster", "Boreal", "Cobalt", "Delta", "Ember", "Fjord", "Garnet", "Harbor", "Indigo", "Juniper", "Krill", "Lumen"}
	secondNames = []string{"Analytics", "Foods", "Freight", "Health", "Labs", "Mobility", "Robotics", "Studio", "Systems", "Travel"}
	countries   = []string{"FR", "DE", "ES", "IT", "NL", "BE"}
	plans       = []string{"free", "pro", "business"}
)

// addCustomer generates the n-th customer, counted from 0, with one credit.
func (h *hyperline) addCustomer(n int, speed float64, now time.Time) {
	created := now.Add(-time.Duration(h.opts.Customers-n) * time.Hour).Truncate(time.Millisecond)
	c := &customer{
		id:         h.id("cus_"),
		name:       fmt.Sprintf("%s %s", firstNames[n%len(firstNames)], secondNames[(n/len(firstNames))%len(secondNames)]),
		externalID: fmt.Sprintf("crm-%05d", n+1),
		country:    countries[n%len(countries)],
		currency:   h.opts.Profile.currency(),
		plan:       plans[n%len(plans)],
		card:       h.drawCard(),
		methodID:   h.id("pm_"),
		created:    created, updated: created,
	}
	if round := n / (len(firstNames) * len(secondNames)); round > 0 {
		c.name = fmt.Sprintf("%s %d", c.name, round+1)
	}
	if n == 0 {
		c.id = FirstCustomer
	}
	c.email = fmt.Sprintf("billing@%s.example", c.externalID)
	h.customers = append(h.customers, c)
	h.byID[c.id] = c
	h.touched()
	if n < h.opts.Customers-h.opts.Unattached {
		h.draw(h.attach(newCredit(c, h.product, created)), speed, now)
	}
}

func (h *hyperline) drawCard() Card {
	switch at := h.rng.Float64(); {
	case at < h.opts.MissingCards:
		return CardMissing
	case at < h.opts.MissingCards+h.opts.DeclinedCards:
		return CardDeclined
	default:
		return CardGood
	}
}

// newCredit is an empty balance of the product that nobody has yet.
func newCredit(c *customer, p *product, at time.Time) *credit {
	return &credit{
		owner: c, product: p, name: p.name, created: at, updated: at,
		shownAt: at, lastUsageRow: at, meter: meter{step: one, at: at},
	}
}

// attach gives the credit to its owner.
func (h *hyperline) attach(cr *credit) *credit {
	cr.owner.credits = append(cr.owner.credits, cr)
	h.credits = append(h.credits, cr)
	if h.listed != nil {
		h.listed = append(h.listed, cr)
	}
	return cr
}

// draw settles what chance decides about a generated credit.
func (h *hyperline) draw(cr *credit, speed float64, now time.Time) {
	threshold := []quantity{100 * one, 250 * one, 500 * one}[h.rng.IntN(3)]
	if fixed := limited(h.opts.Threshold); fixed != 0 {
		threshold = fixed
	}
	cr.threshold = &threshold
	start := h.opts.StartBalance.or(threshold.decimal(), min(3*threshold, maxQuantity).decimal())
	balance := h.between(start, one)
	rate := scaled(h.between(h.opts.Usage, 1), speed)
	if h.opts.NoUsage {
		rate = 0
	}
	cr.meter = meter{rate: rate, step: one, at: now}
	if h.rng.Float64() < h.opts.Native {
		pack := cr.product.configs[0].prices[0]
		cr.auto = &autoTopup{credits: pack.pack, price: pack}
	}
	cr.reset(balance, now)
}

// scaled multiplies a generated rate by Options.Speed.
func scaled(rate quantity, speed float64) quantity {
	factor, err := decimal.NewFromFloat64(speed)
	if err != nil {
		return rate
	}
	product, err := rate.decimal().Mul(factor)
	if err != nil {
		return maxQuantity
	}
	return limited(product)
}

func (c *customer) credit(product string) *credit {
	for _, cr := range c.credits {
		if cr.product.id == product {
			return cr
		}
	}
	return nil
}

// tickedAtOnce bounds the customers of one tick, so that a large account is still
// served in between.
const tickedAtOnce = 5000

// tick does the provider's own work for everybody, in turns where they are many.
func (h *hyperline) tick(now time.Time) {
	for range min(tickedAtOnce, len(h.credits)) {
		h.ticked %= len(h.credits)
		cr := h.credits[h.ticked]
		h.ticked++
		h.use(cr, now)
		cr.refresh(now, h.opts.Profile)
		h.native(cr, now)
	}
	h.forgetKeys(now)
}
