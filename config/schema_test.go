package config

import (
	"testing"

	"topupd/config/yamlfile"
	"topupd/config/yamlschematest"
)

func TestTheSchemaForEditors(t *testing.T) {
	yamlschematest.Suite{
		Schema: yamlschematest.Of(fileYAML{}, "topupd configuration (topupd.yml)"), File: "../docs/schema/topupd.schema.json", Update: *update,
		Refuse: []string{
			"unknown-key", "unknown-nested-key", "mode-missing", "mode-misspelt", "max-series-zero", "providers-empty",
			"provider-type-missing", "rate-without-window", "share-without-percent", "duration-without-unit", "limits-unknown-period",
		},
	}.Run(t)
}

func TestTheExamplesOfTheManualLoad(t *testing.T) {
	for _, example := range yamlschematest.Examples(t, "# topupd.yml") {
		install(t, example)
		if _, problems := Load("topupd.yml", environment); len(problems) != 0 {
			t.Errorf("%s\n%s", example, problems)
		}
	}
}

// JSONSchemaExtend allows the word off too.
func (verifyYAML) JSONSchemaExtend(s *yamlschematest.Schema) {
	yamlschematest.OrText(s, yamlfile.Form{Pattern: "^off$", Examples: []string{"off"}})
}
