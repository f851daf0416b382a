package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written 4096, 64KiB, 16MiB or 1GiB.
type Size int64

// Rate is a number of messages a second, written 50/s.
type Rate int64

// ByteRate is a number of bytes a second, written 256KiB/s.
type ByteRate int64

// Peers is a set of peers: address ranges, and those of a unix socket.
type Peers struct {
	Unix     bool
	Prefixes []netip.Prefix // masked, without zones, IPv4 never mapped into IPv6
}

// Empty reports whether nobody is named.
func (p Peers) Empty() bool { return !p.Unix && len(p.Prefixes) == 0 }

// Contains reports whether a is in one of the ranges.
func (p Peers) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, r := range p.Prefixes {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

// Strings returns the members as they are written in a file.
func (p Peers) Strings() []string {
	var out []string
	if p.Unix {
		out = append(out, "unix")
	}
	for _, r := range p.Prefixes {
		out = append(out, r.String())
	}
	return out
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// ParseSize reads a Size. Decimal units (KB, MB) are refused, since half the
// world means 1000 by them and the other half 1024.
func ParseSize(s string) (Size, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if d, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = d, u.bytes
			break
		}
	}
	n, err := parseDigits(digits)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size (examples: 4096, 64KiB, 16MiB)", s)
	}
	return Size(n * unit), nil
}

// String writes s with the largest unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := sizeUnits[i]; s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	count, period, _ := strings.Cut(s, "/")
	n, err := parseDigits(count)
	if err != nil || period != "s" {
		return 0, fmt.Errorf("%q is not a rate (example: 50/s)", s)
	}
	return Rate(n), nil
}

// String writes r as it is written in a file.
func (r Rate) String() string { return strconv.FormatInt(int64(r), 10) + "/s" }

// ParseByteRate reads a ByteRate.
func ParseByteRate(s string) (ByteRate, error) {
	size, period, _ := strings.Cut(s, "/")
	n, err := ParseSize(size)
	if err != nil || period != "s" {
		return 0, fmt.Errorf("%q is not a rate of bytes (example: 256KiB/s)", s)
	}
	return ByteRate(n), nil
}

// String writes r with the largest unit that divides it.
func (r ByteRate) String() string { return Size(r).String() + "/s" }

// ParsePeer adds the peers that s names to p: "unix", an address, or a range.
// A range of everybody is refused.
func (p *Peers) ParsePeer(s string) error {
	if s == "unix" {
		p.Unix = true
		return nil
	}
	r, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%q is neither an address range nor \"unix\" (examples: 10.0.0.0/8, 127.0.0.1, fd00::/8, unix)", s)
		}
		r = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case r.Addr().Is4In6():
		return fmt.Errorf("%q is IPv4 in the clothes of IPv6: write the IPv4 range", s)
	case r.Bits() == 0:
		return fmt.Errorf("%q is everybody: name the proxies", s)
	case r.Masked() != r:
		return fmt.Errorf("%q has bits beyond its length, did you mean %q?", s, r.Masked())
	}
	p.Prefixes = append(p.Prefixes, r)
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration (examples: 30s, 5m, 24h)", s)
	}
	return d, nil
}

// formatDuration is Duration.String without the zeros that it trails: 1h0m0s is 1h.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseDigits reads a decimal number without sign, point or leading zero.
func parseDigits(s string) (int64, error) {
	if s == "" || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not a whole number")
	}
	return strconv.ParseInt(s, 10, 64)
}
