package yamlschematest_test

import (
	"testing"

	"topupd/config/yamlfile"
	"topupd/config/yamlschematest"
)

type root struct {
	Wait  yamlfile.Duration          `yaml:"wait" jsonschema:"required"`
	Spend map[string]yamlfile.Number `yaml:"spend"`
	Free  map[string]string          `yaml:"free"`
	Count int                        `yaml:"count" jsonschema:"minimum=1,maximum=9"`
	inner
}

type inner struct {
	Kind kind `yaml:"kind"`
}

type kind string

func (kind) Options() []string { return []string{"a", "b"} }

func TestTheSchemaSaysWhatTheReaderReads(t *testing.T) {
	t.Parallel()
	schema := yamlschematest.Of(root{}, "test")
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"everything", "{wait: 5m, spend: {EUR: 5.5, USD: \"6\"}, free: {a: b, c: 5, d: true}, count: 9, kind: b}", true},
		{"a required key is missing", "{count: 1}", false},
		{"a duration without a unit", "{wait: 5}", false},
		{"a number that is not one", "{wait: 5m, spend: {EUR: much}}", false},
		{"an empty map", "{wait: 5m, spend: {}}", false},
		{"below the range", "{wait: 5m, count: 0}", false},
		{"above the range", "{wait: 5m, count: 10}", false},
		{"another word", "{wait: 5m, kind: c}", false},
		{"an unknown key", "{wait: 5m, weight: 1}", false},
		{"a list", "[wait]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := yamlschematest.Validate(schema, []byte(tt.text)); (err == nil) != tt.ok {
				t.Errorf("Validate(%s) = %v, want ok %v", tt.text, err, tt.ok)
			}
		})
	}
}
