package sallyport_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/sallyporttest"
)

// A browser that offered something fails with 1006 unless something is selected,
// also when its origin is refused before its offer was looked at.
func TestRefusedOriginsSeeTheirReason_SR11_SR21(t *testing.T) {
	tests := []struct {
		name     string
		offer    []string
		selected string
	}{
		{"nothing", nil, ""},
		{"a subprotocol of the application", []string{"chat", "mqtt"}, "chat"},
		{"one within the channel", []string{"sallyport.v1~chat"}, "sallyport.v1~chat"},
		{"the channel", []string{"sallyport.v1~chat", "sallyport.v1"}, "sallyport.v1"},
		{"neutral", []string{"chat", "sallyport"}, "sallyport"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, _ *sallyport.Door, s *sallyporttest.Server) {
				o := as("ada")
				o.Origin, o.Protocols = "https://evil.example", tt.offer
				c := &speaker{s.Connect(t, o), t}
				if c.Protocol != tt.selected {
					t.Errorf("selected %q, want %q", c.Protocol, tt.selected)
				}
				if strings.HasPrefix(tt.selected, "sallyport.v1") {
					c.wantEnd(deny.OriginUntrusted, 0)
				} else {
					wantReason(t, c.Client, deny.OriginUntrusted)
				}
			})
		})
	}
}
