package conform

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

// behind starts endpoint behind a loopback listener and returns a way to dial
// it. Both ends when the test does.
func behind(t testing.TB, endpoint func(net.Conn)) func() (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { endpoint(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
}

func parser(role ws.Role) *ws.Parser {
	return &ws.Parser{Role: role, MaxMessage: 16 << 20, MaxFragments: -1}
}

// Every case of the suite is strict with the codec of this module in both roles.
func TestOurServerIsStrict_SR62(t *testing.T) {
	all(t, RunServer(behind(t, func(c net.Conn) { Echo(c, parser(ws.Server)) }), Options{Short: testing.Short()}))
}

func TestOurClientIsStrict_SR62(t *testing.T) {
	all(t, RunClient(behind(t, func(c net.Conn) { Echo(c, parser(ws.Client)) }), Options{Short: testing.Short()}))
}

// The same over connections that have no buffer and no half-close.
func TestOurServerIsStrictOverPipes_SR62(t *testing.T) {
	dial := func() (net.Conn, error) {
		a, b := net.Pipe()
		go Echo(b, parser(ws.Server)) // ends when the suite closes a
		return a, nil
	}
	all(t, RunServer(dial, Options{Match: func(id string) bool { return !strings.HasPrefix(id, "9.") }}))
}

func all(t *testing.T, r Report) {
	t.Helper()
	t.Log(r)
	if r.Strict() != len(r) || len(r) < 200 {
		t.Errorf("not all are strict")
	}
}

// The list is complete: as many cases per group as the suite is known to have.
func TestCaseList_SR62(t *testing.T) {
	want := map[string]int{"1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20, "6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2,
		"6.9": 4, "6.10": 3, "6.11": 5, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5, "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8, "6.22": 34, "6.23": 7,
		"7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2, "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1}
	got, seen := map[string]int{}, map[string]bool{}
	for _, c := range Cases() {
		got[c.ID[:strings.LastIndex(c.ID, ".")]]++
		if seen[c.ID] || c.Title == "" || len(c.Send) == 0 {
			t.Errorf("case %s is doubled or empty", c.ID)
		}
		seen[c.ID] = true
	}
	total := 0
	for group, n := range want {
		if total += n; got[group] != n {
			t.Errorf("group %s has %d cases, want %d", group, got[group], n)
		}
	}
	if total != 301 || len(seen) != 301 {
		t.Errorf("%d cases, want %d, known 301", len(seen), total)
	}
}

// ids are the cases that were not strict, with their outcome.
func ids(r Report) (list []string) {
	for _, result := range r.Others() {
		list = append(list, fmt.Sprintf("%s %s", result.ID, result.Outcome))
	}
	return list
}

func TestReport(t *testing.T) {
	r := Report{{ID: "1.1.1", Title: "a", Outcome: Strict}, {ID: "6.4.2", Title: "b", Outcome: NonStrict, Why: "late"}, {ID: "7.9.3", Title: "c", Outcome: Failed, Why: "wrong"}}
	if got, want := r.String(), "1 of 3 strict\n6.4.2   non-strict b: late\n7.9.3   failed     c: wrong"; got != want {
		t.Errorf("got %q", got)
	}
	if got := ids(r); !slices.Equal(got, []string{"6.4.2 non-strict", "7.9.3 failed"}) {
		t.Errorf("got %q", got)
	}
}
