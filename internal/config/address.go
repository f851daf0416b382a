package config

import (
	"errors"
	"net"
	"strconv"
)

// splitHostPort is net.SplitHostPort with a port that is a number below 65536.
func splitHostPort(s string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := parseDigits(text)
	if err != nil || n > 65535 {
		return "", 0, errors.New("no port")
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}
