package yamlschematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Validate says where the YAML text does not fit the schema.
func Validate(schema, text []byte) error {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		return err
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		return err
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("reading the YAML: %w", err)
	}
	return compiled.Validate(plain(document))
}

// plain turns times into text: YAML 1.2, which editors read, has none.
func plain(value any) any {
	switch v := value.(type) {
	case time.Time:
		return v.Format(time.RFC3339)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return value
}

// Keys lists the dotted path of every property in the schema, sorted; items
// and free keys add nothing to the path.
func Keys(schema []byte) ([]string, error) {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	keys := map[string]bool{}
	collect(s, "", keys)
	return slices.Sorted(maps.Keys(keys)), nil
}

func collect(s map[string]any, path string, keys map[string]bool) {
	for _, word := range []string{"items", "additionalProperties"} {
		if sub, ok := s[word].(map[string]any); ok {
			collect(sub, path, keys)
		}
	}
	alternatives, _ := s["oneOf"].([]any)
	for _, sub := range alternatives {
		collect(sub.(map[string]any), path, keys)
	}
	properties, _ := s["properties"].(map[string]any)
	for name, sub := range properties {
		key := name
		if path != "" {
			key = path + "." + name
		}
		keys[key] = true
		collect(sub.(map[string]any), key, keys)
	}
}
