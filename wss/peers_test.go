package wss

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func peers(t testing.TB, list ...string) Peers {
	t.Helper()
	p, err := ParsePeers(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePeers(t *testing.T) {
	for _, tt := range []struct{ name, in, wrong string }{
		{"unix", "unix", ""},
		{"a range", "10.0.0.0/8", ""},
		{"an address", "10.1.2.3", ""},
		{"an IPv6 range", "fd00::/8", ""},
		{"everybody on IPv4", "0.0.0.0/0", "believes everybody"},
		{"everybody on IPv6", "::/0", "believes everybody"},
		{"bits beyond the length", "10.0.0.1/8", "is 10.0.0.0/8 meant?"},
		{"a mapped range", "::ffff:10.0.0.0/104", "write"},
		{"a name", "proxy.internal", "neither"},
		{"an address with a zone", "fe80::1%eth0", "neither"},
		{"nothing", "", "neither"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePeers([]string{tt.in})
			if tt.wrong == "" && (err != nil || p.None()) || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("got %+v, %v, want %q", p, err, tt.wrong)
			}
		})
	}
	if _, err := ParsePeers([]string{"a", "b"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want both mistakes", err)
	}
	if !peers(t, "fe80::/10").Contains(netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("a zone hides a peer")
	}
	if (Peers{}).Contains(netip.MustParseAddr("127.0.0.1")) || (Peers{}).Contains(netip.Addr{}) || !(Peers{}).None() {
		t.Error("the zero Peers believe somebody")
	}
}

func TestClientAddress(t *testing.T) {
	spoofed := slices.Repeat([]string{"127.0.0.1"}, 20)
	for _, tt := range []struct {
		name, peer string
		lines      []string
		want       string
	}{
		{"SR-86 AT-80 a header from an untrusted peer", "203.0.113.9", []string{"10.0.0.1"}, "203.0.113.9"},
		{"SR-86 no header", "10.0.0.2", nil, "10.0.0.2"},
		{"SR-86 the right-most untrusted hop", "10.0.0.2", []string{"198.51.100.7, 203.0.113.9, 10.0.0.3"}, "203.0.113.9"},
		{"SR-86 AT-80 a trusted address left of it is spoofed", "10.0.0.2", []string{"10.0.0.9, 203.0.113.9"}, "203.0.113.9"},
		{"SR-86 AT-80 a spoofed chain of 20 hops", "10.0.0.2", []string{strings.Join(spoofed, ",") + ",203.0.113.9"}, "203.0.113.9"},
		{"SR-86 AT-80 a spoofed chain in 20 lines", "10.0.0.2", append(slices.Clone(spoofed), "203.0.113.9"), "203.0.113.9"},
		{"SR-86 lines count in their order", "10.0.0.2", []string{"198.51.100.7", "203.0.113.9, 10.0.0.3", "10.0.0.4"}, "203.0.113.9"},
		{"SR-86 all hops trusted", "10.0.0.2", []string{"10.0.0.5, 10.0.0.6"}, "10.0.0.5"},
		{"SR-86 a mapped peer", "::ffff:10.0.0.2", []string{"203.0.113.9"}, "203.0.113.9"},
		{"SR-86 a mapped hop", "10.0.0.2", []string{"203.0.113.9, ::ffff:10.0.0.3"}, "203.0.113.9"},
		{"SR-86 a mapped client", "10.0.0.2", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"SR-86 IPv4 with a port", "10.0.0.2", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"SR-86 IPv6 with a port", "10.0.0.2", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"SR-86 IPv6 in brackets", "10.0.0.2", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"SR-86 IPv6 without brackets", "10.0.0.2", []string{"2001:db8::1"}, "2001:db8::1"},
		{"SR-86 a zone", "10.0.0.2", []string{"fe80::1%eth0"}, "fe80::1"},
		{"SR-86 a zone of a trusted peer", "fd00::1%eth0", []string{"203.0.113.9"}, "203.0.113.9"},
		{"SR-86 tabs and spaces", "10.0.0.2", []string{" \t203.0.113.9\t , 10.0.0.3 "}, "203.0.113.9"},
		{"SR-86 a malformed hop ends the walk", "10.0.0.2", []string{"203.0.113.9, unknown, 10.0.0.3"}, "10.0.0.3"},
		{"SR-86 a malformed hop next to the peer", "10.0.0.2", []string{"203.0.113.9, _hidden"}, "10.0.0.2"},
		{"SR-86 an empty hop", "10.0.0.2", []string{"203.0.113.9,"}, "10.0.0.2"},
		{"SR-86 IPv4 in brackets", "10.0.0.2", []string{"[203.0.113.9]"}, "10.0.0.2"},
		{"SR-86 leading zeros", "10.0.0.2", []string{"203.0.113.009"}, "10.0.0.2"},
		{"SR-86 garbage after the address", "10.0.0.2", []string{"203.0.113.9 evil"}, "10.0.0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Header: http.Header{"X-Forwarded-For": tt.lines}}
			got := ClientAddress(r, netip.MustParseAddr(tt.peer), peers(t, "10.0.0.0/8", "fd00::/8"))
			if got.String() != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	r := &http.Request{Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}
	if got := ClientAddress(r, netip.Addr{}, peers(t, "unix")); got.String() != "203.0.113.9" {
		t.Errorf("a trusted unix socket: got %s", got)
	}
	if got := ClientAddress(r, netip.Addr{}, peers(t, "10.0.0.0/8")); got.IsValid() {
		t.Errorf("an untrusted unix socket: got %s", got)
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("198.51.100.7, [2001:db8::1]:1,10.0.0.3", "::ffff:10.0.0.9")
	trusted, _ := ParsePeers([]string{"10.0.0.0/8"})
	peer := netip.MustParseAddr("10.0.0.2")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := &http.Request{Header: http.Header{"X-Forwarded-For": {a, b}}}
		got := ClientAddress(r, peer, trusted)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Fatalf("got %v", got)
		}
		// Whatever stands to the left of an honest proxy's line changes nothing.
		r.Header["X-Forwarded-For"] = append(r.Header["X-Forwarded-For"], "203.0.113.9")
		if got := ClientAddress(r, peer, trusted); got.String() != "203.0.113.9" {
			t.Fatalf("spoofed: got %v", got)
		}
	})
}
