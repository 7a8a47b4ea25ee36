package yamlschematest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Validate returns the first place where the YAML text does not fit the schema.
// It knows the keywords that Of writes and fails on any other.
func Validate(schema, text []byte) error {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("reading the YAML: %w", err)
	}
	return validate(s, document, "$")
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
	for _, sub := range list(s["oneOf"]) {
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

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// known are the keywords that say something about the value.
func known() map[string]func(rule, value any, s map[string]any, path string) error {
	return map[string]func(rule, value any, s map[string]any, path string) error{
		"type": checkType, "enum": checkEnum, "pattern": checkPattern, "oneOf": checkOneOf,
		"properties": checkProperties, "additionalProperties": checkAdditional, "required": checkRequired,
		"items": checkItems, "minItems": checkSize, "minProperties": checkSize,
		"minimum": checkBound(func(v, bound float64) bool { return v >= bound }),
		"maximum": checkBound(func(v, bound float64) bool { return v <= bound }),
	}
}

// silent are the keywords for people.
var silent = []string{"$schema", "title", "description", "examples", "default"}

func validate(s map[string]any, value any, path string) error {
	checks := known()
	for _, word := range slices.Sorted(maps.Keys(s)) {
		check, ok := checks[word]
		if !ok && !slices.Contains(silent, word) {
			return fmt.Errorf("%s: the schema uses %s, which this check does not know", path, word)
		}
		if !ok {
			continue
		}
		if err := check(s[word], value, s, path); err != nil {
			return err
		}
	}
	return nil
}

func kind(value any) string {
	switch value.(type) {
	case string, time.Time: // YAML 1.2 has no times: editors see text
		return "string"
	case bool:
		return "boolean"
	case int, float64:
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	default:
		return fmt.Sprintf("%T", value)
	}
}

func checkType(rule, value any, _ map[string]any, path string) error {
	_, whole := value.(int)
	if kind(value) == rule || (rule == "integer" && whole) {
		return nil
	}
	return fmt.Errorf("%s: is %s, want %v", path, kind(value), rule)
}

func checkEnum(rule, value any, _ map[string]any, path string) error {
	if slices.Contains(list(rule), value) {
		return nil
	}
	return fmt.Errorf("%s: %v is not one of %v", path, value, rule)
}

func checkPattern(rule, value any, _ map[string]any, path string) error {
	if at, ok := value.(time.Time); ok {
		value = at.Format(time.RFC3339)
	}
	text, ok := value.(string)
	if !ok || regexp.MustCompile(rule.(string)).MatchString(text) {
		return nil
	}
	return fmt.Errorf("%s: %q does not match %v", path, text, rule)
}

func checkOneOf(rule, value any, _ map[string]any, path string) error {
	fits, last := 0, error(nil)
	for _, sub := range list(rule) {
		if err := validate(sub.(map[string]any), value, path); err != nil {
			last = err
			continue
		}
		fits++
	}
	if fits == 1 {
		return nil
	}
	return fmt.Errorf("%s: fits %d of the alternatives, last: %w", path, fits, last)
}

func checkProperties(rule, value any, _ map[string]any, path string) error {
	object, _ := value.(map[string]any)
	for name, sub := range rule.(map[string]any) {
		v, ok := object[name]
		if !ok {
			continue
		}
		if err := validate(sub.(map[string]any), v, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func checkAdditional(rule, value any, s map[string]any, path string) error {
	object, _ := value.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, v := range object {
		if _, ok := properties[name]; ok {
			continue
		}
		sub, ok := rule.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: unknown key %s", path, name)
		}
		if err := validate(sub, v, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func checkRequired(rule, value any, _ map[string]any, path string) error {
	object, _ := value.(map[string]any)
	for _, name := range list(rule) {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", path, name)
		}
	}
	return nil
}

func checkItems(rule, value any, _ map[string]any, path string) error {
	for i, v := range list(value) {
		if err := validate(rule.(map[string]any), v, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func checkSize(rule, value any, _ map[string]any, path string) error {
	size := 1.0
	switch v := value.(type) {
	case []any:
		size = float64(len(v))
	case map[string]any:
		size = float64(len(v))
	}
	if size >= rule.(float64) {
		return nil
	}
	return fmt.Errorf("%s: has %v entries, want at least %v", path, size, rule)
}

func checkBound(holds func(value, bound float64) bool) func(rule, value any, s map[string]any, path string) error {
	return func(rule, value any, _ map[string]any, path string) error {
		n, ok := value.(int)
		if !ok || holds(float64(n), rule.(float64)) {
			return nil
		}
		return fmt.Errorf("%s: %d is beyond %v", path, n, rule)
	}
}
