// Package mailclass tells what is publicly known about the provider of an e-mail address:
// which addresses are one mailbox, and whether it is a free or a disposable one. It asks
// nobody: its lists are compiled in. ORIGIN.md names their sources and licences.
//
// The lists age with the program. A host that needs fresher ones has a classifier of its
// own: see Config.AddressClassifier of package latchkey.
package mailclass

import (
	_ "embed"
	"strings"
)

//go:generate sh -c "go run ./gen -disposable \"$DISPOSABLE\" -free \"$FREE\""

// Both lists have one domain a line, sorted by bytes, after lines that begin with #. A name
// without a dot is one of .com.
var (
	//go:embed disposable.txt
	disposable string
	//go:embed free.txt
	free string
)

// Class is what is known about an address. Everything that is not known is zero.
type Class struct {
	// Canonical is the address to which all addresses of the same mailbox lead back, as
	// far as the rules of the provider are known. An address that differs from its
	// canonical form is an alias.
	Canonical string
	// Free says that anyone can have an address at the provider for nothing, and that it
	// is not disposable.
	Free bool
	// Disposable says that the provider gives out addresses for single use.
	Disposable bool
	// Corporate says that the address is neither free nor disposable: mostly one of a
	// company, but also of a school, an internet provider or a person with a domain.
	Corporate bool
}

// Of returns what is known about an address: lower case, with the domain in its ASCII form,
// as in User.Email of package latchkey. The class of a text without an @ is zero.
//
// The canonical form is made by the rules of the provider:
//   - Google: without dots and without what follows a plus, at gmail.com
//   - Proton: without dots, hyphens, underscores and what follows a plus
//   - Outlook.com, Hotmail, Fastmail, Zoho, Posteo, mailbox.org and Runbox: without what
//     follows a plus; at Fastmail, tag@name.fastmail.com is name@fastmail.com
//   - Apple and Yandex: without what follows a plus, at icloud.com or yandex.ru
//   - Yahoo: without what follows a hyphen
//
// An address at any other domain is its own canonical form: a plus is not dropped where no
// document says that it makes no difference. Nothing proves that mail to a canonical form
// arrives, so messages go to the address itself.
//
// A domain is disposable if it, or a domain above it, is in the list of disposable ones. It
// is free if it is in the list of free ones itself. Of does not allocate unless the canonical
// form differs from the address.
func Of(address string) Class {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 {
		return Class{}
	}
	local, domain := address[:at], address[at+1:]
	name, base, provider := canonical(local, domain)
	c := Class{Canonical: address, Disposable: listedAbove(disposable, domain)}
	if name != local || base != domain {
		c.Canonical = name + "@" + base
	}
	c.Free = !c.Disposable && (provider != nil && provider.free || listed(free, domain))
	c.Corporate = !c.Disposable && !c.Free
	return c
}

// listedAbove reports whether a domain, or one above it, is in a list.
func listedAbove(list, domain string) bool {
	for strings.Contains(domain, ".") {
		if listed(list, domain) {
			return true
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return false
}

// listed looks for a domain by binary search.
func listed(list, domain string) bool {
	if !strings.Contains(domain, ".") || domain[0] == '#' {
		return false // a line, but no domain
	}
	if name, found := strings.CutSuffix(domain, ".com"); found && !strings.Contains(name, ".") {
		domain = name
	}
	low, high := 0, len(list) // of line beginnings
	for low < high {
		middle := (low + high) / 2
		begin := low + strings.LastIndexByte(list[low:middle], '\n') + 1
		end := begin + strings.IndexByte(list[begin:], '\n')
		switch line := list[begin:end]; {
		case line == domain:
			return true
		case line < domain:
			low = end + 1
		default:
			high = begin
		}
	}
	return false
}
