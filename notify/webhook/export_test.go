package webhook

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

// SetTransport makes an endpoint send its requests by another transport.
func (e *Endpoint) SetTransport(t http.RoundTripper) { e.transport = t }

// Transport returns the transport of an endpoint.
func (e *Endpoint) Transport() *http.Transport { return e.transport.(*http.Transport) }

// SetResolver makes an endpoint that connects only to public addresses resolve names by r. allowed
// gets each address that the endpoint would connect to, and decides whether it does.
func (e *Endpoint) SetResolver(r *net.Resolver, allowed func(address string) error) {
	d := newDialer(false)
	d.Resolver = r
	check := d.ControlContext
	d.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if err := check(ctx, network, address, c); err != nil {
			return err
		}
		return allowed(address)
	}
	e.transport = newTransport(d, nil)
}
