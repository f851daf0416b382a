package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
)

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
