package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/deny"
)

const (
	maxName  = 512 // bytes of sub, session and one scope: they are kept with the connection
	maxScope = 64  // number of scopes
	maxDepth = 32  // of the answer, whose other names are ignored
)

// answer is what the application said.
type answer struct {
	subject, session, recheck string
	expires                   time.Time // zero: no end of its own
	scopes                    []string  // sorted, without doubles
}

// parseAnswer reads an answer that came with 200. Every fault of it is
// deny.AuthUnavailable, since the application and not the visitor is at fault.
func parseAnswer(body []byte, now time.Time) (answer, error) {
	var ans answer
	m, err := object(body)
	if err != nil {
		return ans, unavailable("the answer: %w", err)
	}
	if ans.subject, err = field(m, "sub", maxName); err == nil && ans.subject == "" {
		err = errors.New("sub is missing")
	}
	if err == nil {
		ans.session, err = field(m, "session", maxName)
	}
	if err == nil {
		ans.recheck, err = field(m, "recheck", maxHandle)
	}
	if err == nil && !printable(ans.recheck) {
		err = errors.New("recheck is not of visible ASCII characters")
	}
	if err == nil {
		ans.scopes, err = scopes(m)
	}
	if err == nil {
		ans.expires, err = end(m)
	}
	if err != nil {
		return answer{}, unavailable("the answer: %w", err)
	}
	if !ans.expires.IsZero() && !now.Before(ans.expires) {
		return answer{}, deny.Because(deny.AuthExpired, errors.New("forward: the application gave an end that has passed"))
	}
	return ans, nil
}

// object reads one JSON object in which no name stands twice at any depth, and
// nothing behind it.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("json: invalid UTF-8")
	}
	if b := bytes.TrimLeft(data, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return nil, errors.New("json: not an object")
	}
	if err := walk(json.NewDecoder(bytes.NewReader(data)), 1); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return m, nil
}

// walk reads one value and refuses doubled names. That the value is JSON, and
// that nothing follows it, is for Unmarshal to say.
func walk(dec *json.Decoder, depth int) error {
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil {
		return err
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
				return err
			}
			name, ok := t.(string)
			if !ok || seen[name] {
				return fmt.Errorf("name %.40q appears twice or is none", name)
			}
			seen[name] = true
		}
		if err := walk(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// field reads a string that may be absent. null is not absent.
func field(m map[string]json.RawMessage, name string, limit int) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil || !text(s, limit) {
		return "", fmt.Errorf("%s is not a string of 1 to %d bytes without control characters", name, limit)
	}
	return s, nil
}

func scopes(m map[string]json.RawMessage) ([]string, error) {
	raw, ok := m["scopes"]
	if !ok {
		return nil, nil
	}
	var list []string
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil || len(list) > maxScope {
		return nil, fmt.Errorf("scopes is not a list of at most %d strings", maxScope)
	}
	for _, s := range list {
		if !text(s, maxName) || !printable(s) {
			return nil, errors.New("scopes has an unusable member")
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// end reads exp: whole seconds since 1970, up to the year 9999.
func end(m map[string]json.RawMessage) (time.Time, error) {
	raw, ok := m["exp"]
	if !ok {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 || n > 253402300799 {
		return time.Time{}, errors.New("exp is not a whole number of seconds since 1970")
	}
	return time.Unix(n, 0), nil
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

// printable reports whether s has visible ASCII characters only.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
