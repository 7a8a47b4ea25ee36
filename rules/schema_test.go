package rules

import (
	"testing"

	"topupd/config/yamlschema/yamlschematest"
)

func TestTheSchemaForEditors(t *testing.T) {
	yamlschematest.Suite{
		Schema: Schema(), File: "../docs/schema/rules.schema.json", Update: *update,
		Refuse: []string{
			"name-missing", "product-list", "match-missing", "match-empty-list", "match-empty-properties", "buy-missing",
			"bundles-empty", "bundles-key-missing", "price-without-currency", "refill-nonsense", "expires-word", "expires-week",
			"cooldown-without-unit", "suspend-after-zero", "rules-empty", "rules-missing",
		},
	}.Run(t)
}

func TestTheExamplesOfTheManualLoad(t *testing.T) {
	for _, example := range yamlschematest.Examples(t, "# rules/") {
		loadText(t, example)
	}
}
