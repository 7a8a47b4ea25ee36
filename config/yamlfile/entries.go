package yamlfile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// entry is one key of a block with its value.
type entry struct {
	name, path string
	key, value *yaml.Node
}

// entries lists the keys of a block once each and remembers their places.
// known are the keys the block may have; nil when any may stand there.
func (f *File) entries(node *yaml.Node, path string, known []string) []entry {
	var list []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if !f.plainKey(key) {
			continue
		}
		if n := len(list); n > 0 && splitByComma(node, list[n-1].value, key, value) && !slices.Contains(known, key.Value) {
			list[n-1].value.Value += "," + key.Value
			continue
		}
		e := entry{name: key.Value, path: join(path, key.Value), key: key, value: value}
		if first := slices.IndexFunc(list, func(o entry) bool { return o.name == e.name }); first >= 0 {
			f.add(Problem{
				Line: key.Line, Column: key.Column,
				Message: fmt.Sprintf("%s stands here a second time", quote(e.name)),
				Fix:     fmt.Sprintf("keep one of the two: the first is in line %d", list[first].key.Line),
			})
			continue
		}
		f.places[e.path] = place{key, value}
		list = append(list, e)
	}
	return list
}

// plainKey refuses keys that are not plain words.
func (f *File) plainKey(key *yaml.Node) bool {
	message, fix := "", ""
	switch {
	case key.Kind == yaml.AliasNode || key.Tag == "!!merge":
		message, fix = "merge keys and aliases are not read", "write the keys out"
	case key.Kind != yaml.ScalarNode:
		message, fix = "a key must be a single word", "put text with brackets in quotes"
	case key.Style&yaml.TaggedStyle != 0:
		message, fix = "a key has the type "+quote(key.Tag), "remove the type"
	case key.Value == "" || len(key.Value) > 200:
		message, fix = "a key is empty or longer than 200 characters", "check the line"
	default:
		return true
	}
	f.add(Problem{Line: key.Line, Column: key.Column, Message: message, Fix: fix})
	return false
}

// splitByComma tells whether YAML took one value with a decimal comma for two
// keys: `{price: 200,00 EUR}` is price 200 and a key "00 EUR" without value.
func splitByComma(block, before, key, value *yaml.Node) bool {
	return block.Style&yaml.FlowStyle != 0 &&
		value.Kind == yaml.ScalarNode && value.Tag == "!!null" && value.Value == "" &&
		before.Kind == yaml.ScalarNode && before.Style == 0 &&
		before.Line == key.Line && before.Column+len([]rune(before.Value))+1 == key.Column
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
