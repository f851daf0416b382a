package sallyport

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Subprotocols of the door. None is ever offered to a backend.
const (
	neutral    = "sallyport"    // of a page that has none of its own: a browser that offered some fails unless one is selected
	channel    = "sallyport.v1" // the control channel, without a subprotocol of the application …
	channelFor = channel + "~"  // … and with the one that follows
	sealing    = channel + "+seal"
	sealingFor = sealing + "~"
)

// reservedProtocol reports whether a subprotocol is the door's own business.
func reservedProtocol(p string) bool { return strings.HasPrefix(p, neutral) }

// speaks reports whether the control channel is spoken under a selected token.
func speaks(selected string) bool {
	return selected == channel || strings.HasPrefix(selected, channelFor) || isSealing(selected)
}

// isSealing reports whether the channel is sealed under a token.
func isSealing(token string) bool { return token == sealing || strings.HasPrefix(token, sealingFor) }

// sealToken is the first token of an offer that wants the seal, which is the one
// that is selected; empty if there is none.
func sealToken(offer []string) string {
	if i := slices.IndexFunc(offer, isSealing); i >= 0 {
		return offer[i]
	}
	return ""
}

// shownProtocol is the application's part of a selected token.
func shownProtocol(selected string) string {
	for _, prefix := range []string{channelFor, sealingFor} {
		if app, ok := strings.CutPrefix(selected, prefix); ok {
			return app
		}
	}
	if reservedProtocol(selected) {
		return ""
	}
	return selected
}

// appProtocols are the subprotocols of the application in an offer, in the order
// of their first appearance. It refuses a ticket that is offered alone, since the
// door never echoes it and a browser fails if nothing that it offered is selected,
// and a token of ours where an application's belongs.
func appProtocols(offer []string) (apps []string, err error) {
	tickets := 0
	for _, p := range offer {
		app, wrapped := strings.CutPrefix(p, channelFor)
		inside, seals := strings.CutPrefix(p, sealingFor)
		switch {
		case wrapped && (app == "" || reservedProtocol(app)), seals && (inside == "" || reservedProtocol(inside)):
			return nil, deny.Because(deny.HTTPMalformed, fmt.Errorf("%q lacks a subprotocol of the application", p))
		case strings.HasPrefix(p, auth.TicketPrefix):
			tickets++
		case (wrapped || !reservedProtocol(p)) && !slices.Contains(apps, app):
			apps = append(apps, app)
		}
	}
	if tickets > 0 && tickets == len(offer) {
		return nil, deny.Because(deny.HTTPTicketAlone, errors.New(`offer "sallyport" or the application's subprotocol as well`))
	}
	return apps, nil
}

// selectProtocol is the token of the 101, given the route's choice. Empty is none.
func selectProtocol(offer []string, choice string) string {
	preferred := []string{channel, neutral}
	if choice != "" {
		preferred = []string{channelFor + choice, choice}
	}
	for _, p := range preferred {
		if slices.Contains(offer, p) {
			return p
		}
	}
	return ""
}

// selectForRefusal selects some token, if any was offered: a browser would
// otherwise report 1006 and hide the reason.
func selectForRefusal(offer, apps []string) string {
	if selected := selectProtocol(offer, ""); selected != "" || len(apps) == 0 {
		return selected
	}
	return selectProtocol(offer, apps[0])
}
