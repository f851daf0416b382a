package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects may be nested.
const maxDepth = 32

// decode reads unpadded base64url. One value has one text: the standard library
// alone would skip line breaks.
func decode(s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] == '\r' || s[i] == '\n' {
			return nil, errors.New("line break in base64url")
		}
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// object reads one JSON object that everybody reads alike: valid UTF-8, no name
// twice in any object (RFC 8725, section 2.6 and RFC 7515, section 4), nothing
// behind it, nested at most maxDepth deep. Names are compared exactly.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("json: invalid UTF-8")
	}
	if b := bytes.TrimLeft(data, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return nil, errors.New("json: not an object")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := walk(dec, 1); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	var m map[string]json.RawMessage
	// Unmarshal also refuses what follows the object.
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return m, nil
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
	if depth > maxDepth {
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

// asString reads a JSON string. null is none.
func asString(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// asStrings reads an array of strings.
func asStrings(raw json.RawMessage) ([]string, bool) {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, r := range list {
		s, ok := asString(r)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// text reports whether s is not empty, at most limit bytes, and free of control
// characters and of the replacement character, into which encoding/json turns
// every lone surrogate: two subjects must not become one.
func text(s string, limit int) bool {
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
