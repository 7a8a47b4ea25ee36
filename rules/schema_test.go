package rules

import (
	"testing"

	"topupd/config/yamlfile"
	"topupd/config/yamlschematest"
)

func TestTheSchemaForEditors(t *testing.T) {
	yamlschematest.Suite{
		Schema: yamlschematest.Of(fileYAML{}, "topupd rules"), File: "../docs/schema/rules.schema.json", Update: *update,
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

// JSONSchemaExtend allows a single name too.
func (namesText) JSONSchemaExtend(s *yamlschematest.Schema) {
	yamlschematest.OrText(s, yamlfile.Form{Examples: []string{"hyperline"}})
}

// JSONSchemaExtend allows the word never too.
func (expiresYAML) JSONSchemaExtend(s *yamlschematest.Schema) {
	yamlschematest.OrText(s, yamlfile.Form{Pattern: "^never$", Examples: []string{"never"}})
}
