package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestObject_SR35_AT56(t *testing.T) {
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"an object", `{"a": 1, "b": [true, null, {"c": "d"}]}`, true},
		{"blanks around it", " \t\r\n{}\n", true},
		{"AT-56 a name twice", `{"a": 1, "a": 2}`, false},
		{"AT-56 a name twice, once escaped", `{"a": 1, "\u0061": 2}`, false},
		{"AT-56 a name twice deep inside", `{"a": [{"b": {"c": 1, "c": 1}}]}`, false},
		{"names that differ in case", `{"a": 1, "A": 2}`, true},
		{"an array", `[]`, false},
		{"a string", `"{}"`, false},
		{"nothing", ``, false},
		{"something behind it", `{} {}`, false},
		{"a comma behind it", `{},`, false},
		{"cut", `{"a": [1`, false},
		{"invalid UTF-8", "{\"a\": \"\xff\"}", false},
		{"AT-56 as deep as allowed", `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + "}", true},
		{"AT-56 a level deeper", `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + "}", false},
		{"AT-56 a thousand levels", `{"a":` + strings.Repeat("[", 1000), false},
		{"AT-56 a number bomb stays text", `{"a": 1e999999999}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Object([]byte(tt.in)); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// What Object accepts, encoding/json accepts too.
func FuzzObject_AT56(f *testing.F) {
	f.Add([]byte(`{"a": {"b": [1, "c"]}}`))
	f.Add([]byte(`{"a": 1, "a": 2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Object(data)
		var want map[string]json.RawMessage
		if err == nil && (json.Unmarshal(data, &want) != nil || len(want) != len(m)) {
			t.Errorf("accepted what encoding/json does not: %q", data)
		}
	})
}
