package app

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/config"
)

// hostsOf are the names under which the door may be asked for: those of the
// configuration, else those of the certificates.
func hostsOf(f *config.File, names []string) []string {
	if len(f.Hosts) > 0 {
		return f.Hosts
	}
	var hosts []string
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil && ip.Is6() {
			name = "[" + name + "]"
		}
		hosts = append(hosts, name)
	}
	return hosts
}

// ownOrigins are the origins of pages that the door itself serves, the first
// one being the issuer of its tokens. A host without a port is reached on 443
// (behind a proxy or a mapped port) and on the port that is listened to. Hosts
// with a wildcard serve no page that could be named.
func ownOrigins(hosts []string, terminated bool, listen net.Addr) []string {
	var first, then []string
	port := portOf(listen)
	for _, h := range hosts {
		h = strings.ToLower(h)
		if strings.Contains(h, "*") {
			continue
		}
		_, given, err := net.SplitHostPort(h)
		switch {
		case err == nil && given == "443":
			first = append(first, "https://"+strings.TrimSuffix(h, ":443"))
		case err == nil:
			first = append(first, "https://"+h)
		case terminated || port == "" || port == "443":
			first = append(first, "https://"+h)
		default:
			first = append(first, "https://"+h+":"+port)
			then = append(then, "https://"+h)
		}
	}
	return append(first, then...)
}

func portOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.Port != 0 { // 0: it could not be opened
		return strconv.Itoa(t.Port)
	}
	return ""
}
