// Package browser has the tests of examples/webapp in a real browser. They start the site in this process and use
// it in Chromium, by mouse and keyboard, as its users do.
//
//	npm ci          # axe-core, which looks for barriers
//	go test .       # needs chromium on the PATH
//	go test . -run TestPages -screenshots pictures
//
// It is a module of its own, so that Latchkey does not depend on chromedp.
package browser
