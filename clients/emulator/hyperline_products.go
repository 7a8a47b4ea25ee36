package emulator

import "net/http"

type wireBundle struct {
	Type      string   `json:"type"`
	ID        string   `json:"id"`
	Amount    int64    `json:"amount"`
	UnitCount quantity `json:"unit_count"`
}

type wirePeriod struct {
	Period string `json:"period"`
}

type wirePriceConfig struct {
	ID                 string       `json:"id"`
	ProductID          string       `json:"product_id"`
	PriceBookID        *string      `json:"price_book_id"`
	Status             string       `json:"status"`
	Currency           *string      `json:"currency"`
	Country            *string      `json:"country"`
	Countries          []string     `json:"countries"`
	PlanID             *string      `json:"plan_id"`
	BillingInterval    *wirePeriod  `json:"billing_interval"`
	CommitmentInterval *wirePeriod  `json:"commitment_interval"`
	UpdatedAt          string       `json:"updated_at"`
	ArchivedAt         *string      `json:"archived_at"`
	Type               string       `json:"type"`
	AllowOnPortal      bool         `json:"allow_on_portal"`
	Prices             []wireBundle `json:"prices"`
}

type wireProduct struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Status            string            `json:"status"`
	Description       *string           `json:"description"`
	PublicDescription *string           `json:"public_description"`
	Properties        map[string]string `json:"properties"`
	CustomProperties  map[string]string `json:"custom_properties"`
	Type              string            `json:"type"`
	Aggregator        map[string]string `json:"aggregator"`
	CreditAggregators []string          `json:"credit_aggregators"`
	LowThreshold      *quantity         `json:"low_credits_threshold"`
	GrantMode         string            `json:"credits_grant_mode"`
	PriceConfigs      []wirePriceConfig `json:"price_configurations"`
}

func archivedOr(archived bool) string {
	if archived {
		return "archived"
	}
	return "active"
}

func (p *product) wire() wireProduct {
	w := wireProduct{
		ID: p.id, Name: p.name, Status: archivedOr(p.archived), CustomProperties: map[string]string{}, Type: "credit",
		Aggregator: map[string]string{}, CreditAggregators: []string{}, LowThreshold: p.threshold, GrantMode: "full_allowance",
		PriceConfigs: []wirePriceConfig{},
	}
	for _, config := range p.configs {
		w.PriceConfigs = append(w.PriceConfigs, config.wire(p.id))
	}
	return w
}

func (config *priceConfig) wire(product string) wirePriceConfig {
	day := config.updated.Format("2006-01-02") // declared as date
	w := wirePriceConfig{
		ID: config.id, ProductID: product, Status: archivedOr(config.archived), Currency: &config.currency,
		BillingInterval: &wirePeriod{Period: "once"}, UpdatedAt: day, Type: "bundle", AllowOnPortal: true,
	}
	if config.archived {
		w.ArchivedAt = &day
	}
	for _, price := range config.prices {
		w.Prices = append(w.Prices, wireBundle{Type: "bundle", ID: price.id, Amount: price.amount, UnitCount: price.pack})
	}
	return w
}

// listProducts hides an archived product unless status=all asks for it.
func (h *hyperline) listProducts(c *call) answer {
	p, bad := h.window(c.query)
	if bad != nil {
		return *bad
	}
	var all []*product
	if !h.product.archived || c.query.Get("status") == "all" {
		all = append(all, h.product)
	}
	return offset(all, p, (*product).wire)
}

func (h *hyperline) getProduct(c *call) answer {
	if c.r.PathValue("id") != h.product.id {
		return message(http.StatusNotFound, "Product not found")
	}
	return jsonAnswer(http.StatusOK, h.product.wire())
}
