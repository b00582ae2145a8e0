package authtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// Visit plays the browser: it GETs an authorization address of the issuer and returns the
// place to which the answer sends the browser, without going there. The place is the
// address of the redirect without its query, and the parameters of that query, or the
// target of the form and its fields. It is an error if the address belongs to another
// server, or if the answer is neither a redirect nor a form.
func (i *Issuer) Visit(address string) (target *url.URL, parameters url.Values, err error) {
	if !strings.HasPrefix(address, i.URL+"/") {
		return nil, nil, errors.New("authtest: the address belongs to another server than the issuer")
	}
	request, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	client := *i.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return readForm(response.Body)
	}
	target, err = response.Location()
	if err != nil {
		text, _ := io.ReadAll(response.Body)
		return nil, nil, fmt.Errorf("authtest: the issuer answers %s: %s", response.Status, text)
	}
	parameters, err = url.ParseQuery(target.RawQuery)
	target.RawQuery = ""
	return target, parameters, err
}

// readForm returns the target and the fields of the form of a page.
func readForm(page io.Reader) (target *url.URL, fields url.Values, err error) {
	root, err := html.Parse(page)
	if err != nil {
		return nil, nil, err
	}
	fields = make(url.Values)
	for node := range root.Descendants() {
		attributes := make(map[string]string)
		for _, a := range node.Attr {
			attributes[a.Key] = a.Val
		}
		switch node.Data {
		case "form":
			if target, err = url.Parse(attributes["action"]); err != nil {
				return nil, nil, err
			}
		case "input":
			fields.Add(attributes["name"], attributes["value"])
		}
	}
	if target == nil {
		return nil, nil, errors.New("authtest: the issuer answers a page without a form")
	}
	return target, fields, nil
}
