// Package strictjson reads JSON that comes from outside and that everybody must
// read alike.
//
// It stops two readers of one text from seeing two things: names that stand
// twice in an object, invalid UTF-8, something behind the value (RFC 8725,
// section 2.6). It bounds nesting at [MaxDepth]; the length is for the caller to
// bound.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 32

// Object reads one JSON object. Names are compared exactly.
func Object(data []byte) (map[string]json.RawMessage, error) {
	if err := Check(data); err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return m, nil
}

// Check reports whether data is one JSON object by the rules of this package.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("json: invalid UTF-8")
	}
	if b := bytes.TrimLeft(data, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return errors.New("json: not an object")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := walk(dec, 1); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if !json.Valid(data) {
		return errors.New("json: something follows the object")
	}
	return nil
}

// walk reads one value and refuses doubled names.
func walk(dec *json.Decoder, depth int) error {
	t, err := dec.Token()
	if err != nil {
		return noEOF(err)
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth > MaxDepth {
		return errors.New("nested too deep")
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			t, err := dec.Token()
			if err != nil {
				return noEOF(err)
			}
			name, ok := t.(string)
			if !ok {
				return errors.New("name is not a string")
			}
			if seen[name] {
				return fmt.Errorf("name %.40q appears twice", name)
			}
			seen[name] = true
		}
		if err := walk(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing delimiter
	return noEOF(err)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Text reports whether s is not empty, at most limit bytes, and free of control
// characters and of the replacement character, into which encoding/json turns
// every lone surrogate: two subjects must not become one.
func Text(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range s {
		if c < 0x20 || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			return false
		}
	}
	return true
}
