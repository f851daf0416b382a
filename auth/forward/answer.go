package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/strictjson"
)

const (
	maxName  = 512 // bytes of sub, session and one scope: they are kept with the connection
	maxScope = 64  // number of scopes
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
	m, err := strictjson.Object(body)
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

// field reads a string that may be absent. null is not absent.
func field(m map[string]json.RawMessage, name string, limit int) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil || !strictjson.Text(s, limit) {
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
		if !strictjson.Text(s, maxName) || !printable(s) {
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

// printable reports whether s has visible ASCII characters only.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
