package hyperline

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"topupd/clients"
	"topupd/topup"
)

// attachBody is what a credit product is attached with. It has no balance: that
// would be credits nobody pays for (P11).
type attachBody struct {
	Product   string       `json:"product_id"`
	Name      string       `json:"name,omitempty"`
	Threshold *json.Number `json:"low_count_threshold,omitempty"`
}

// Attach gives a customer a credit product with a balance of nothing, and returns
// its first reading. threshold is the customer's own mark; nil leaves it to the
// product. The request is sent once; after an error look at the customer before
// attaching again.
func (c *Client) Attach(ctx context.Context, id topup.CustomerID, product topup.ProductID, name string, threshold *topup.Credits) (topup.Reading, error) {
	t := topup.Target{Provider: c.id, Customer: id, Product: product}
	if !clients.ValidID(string(id)) || !clients.ValidID(string(product)) {
		return topup.Reading{}, fmt.Errorf("%s: attaching: %.60q %.60q is not a customer and a product", c.name, id, product)
	}
	body := attachBody{Product: string(product), Name: name}
	if threshold != nil {
		number := json.Number(threshold.String())
		body.Threshold = &number
	}
	text, err := json.Marshal(body)
	if err != nil {
		return topup.Reading{}, fmt.Errorf("%s: attaching %s to %s: %w", c.name, product, id, err)
	}
	resp, err := c.api.Write(ctx, clients.Write{
		Op: "attach", Method: http.MethodPost, Path: path("/v1/customers/", string(id), "/credits"), Token: c.token, Body: text,
	})
	if err != nil {
		return topup.Reading{}, fmt.Errorf("%s: attaching %s to %s: %w", c.name, product, id, err)
	}
	credit, err := creditFrom(resp, "attach", t)
	if err != nil {
		return topup.Reading{}, fmt.Errorf("%s: attaching %s to %s: %w", c.name, product, id, err)
	}
	return credit.reading(c.id), nil
}
