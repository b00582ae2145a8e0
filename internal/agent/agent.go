// Package agent reads User-Agent headers: the client, the operating system and the
// device.
package agent

import (
	"strings"

	"github.com/mileusna/useragent"
)

// Agent is the content of a User-Agent header. Unknown parts are "".
type Agent struct {
	OSCode, OSName, OSVersion                         string // WIN, MAC, LIN, AND, IOS, COS, BSD
	ClientType, ClientCode, ClientName, ClientVersion string // browser or bot; CH, CM, FF, SF
	ClientEngine                                      string // Blink, Gecko, WebKit, Trident, Presto
	DeviceName, DeviceBrand, DeviceModel              string // desktop, smartphone or tablet
}

// Parse reads a User-Agent header. It never fails.
func Parse(text string) Agent {
	ua := useragent.Parse(text)
	a := Agent{
		OSCode: osCode(ua.OS), OSName: ua.OS, OSVersion: ua.OSVersion,
		ClientName: ua.Name, ClientVersion: majorMinor(ua.Version),
		DeviceBrand: brand(ua.Device), DeviceModel: ua.Device,
	}
	if ua.OS == useragent.Windows {
		a.OSVersion = strings.TrimSuffix(ua.OSVersion, ".0")
	}
	switch c, known := browser(ua); {
	case ua.Bot:
		a.ClientType = "bot"
	case known:
		a.ClientType, a.ClientCode, a.ClientName, a.ClientEngine = "browser", c.code, c.name, c.engine
	}
	switch {
	case ua.Tablet:
		a.DeviceName = "tablet"
	case ua.Mobile:
		a.DeviceName = "smartphone"
	case ua.Desktop:
		a.DeviceName = "desktop"
	}
	return a
}

// majorMinor returns the first two numbers of a version.
func majorMinor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// The codes follow the lists of the Matomo device detector.
func osCode(name string) string {
	switch name {
	case useragent.Windows:
		return "WIN"
	case useragent.MacOS:
		return "MAC"
	case useragent.Linux:
		return "LIN"
	case useragent.Android:
		return "AND"
	case useragent.IOS:
		return "IOS"
	case useragent.ChromeOS:
		return "COS"
	case useragent.FreeBSD:
		return "BSD"
	}
	return ""
}

// client is a browser as the lists name it.
type client struct{ code, name, engine string }

// desktops are the browsers of desktops, and those that are the same everywhere.
var desktops = map[string]client{
	useragent.Chrome:           {"CH", "Chrome", "Blink"},
	useragent.HeadlessChrome:   {"HC", "Headless Chrome", "Blink"},
	useragent.Edge:             {"PS", "Microsoft Edge", "Blink"},
	useragent.Opera:            {"OP", "Opera", "Blink"},
	useragent.OperaMini:        {"OI", "Opera Mini", "Presto"},
	useragent.OperaTouch:       {"OO", "Opera Touch", "Blink"},
	useragent.Vivaldi:          {"VI", "Vivaldi", "Blink"},
	useragent.SamsungBrowser:   {"SB", "Samsung Browser", "Blink"},
	useragent.Firefox:          {"FF", "Firefox", "Gecko"},
	useragent.Safari:           {"SF", "Safari", "WebKit"},
	useragent.InternetExplorer: {"IE", "Internet Explorer", "Trident"},
}

// mobiles are the browsers of telephones that the lists tell from those of desktops.
var mobiles = map[string]client{
	useragent.Chrome:           {"CM", "Chrome Mobile", "Blink"},
	useragent.Opera:            {"OM", "Opera Mobile", "Blink"},
	useragent.Firefox:          {"FM", "Firefox Mobile", "Gecko"},
	useragent.Safari:           {"MF", "Mobile Safari", "WebKit"},
	useragent.InternetExplorer: {"IM", "IE Mobile", "Trident"},
}

// apples are the browsers of iOS, where all have the engine of the system.
var apples = map[string]client{
	useragent.Chrome:     {"CI", "Chrome Mobile iOS", "WebKit"},
	useragent.OperaMini:  {"O1", "Opera Mini iOS", "WebKit"},
	useragent.OperaTouch: {"OO", "Opera Touch", "WebKit"},
	useragent.Edge:       {"PS", "Microsoft Edge", "WebKit"},
	useragent.Firefox:    {"F1", "Firefox Mobile iOS", "WebKit"},
	useragent.Safari:     {"MF", "Mobile Safari", "WebKit"},
}

// browser returns the browser of a user agent.
func browser(ua useragent.UserAgent) (c client, known bool) {
	if ua.OS == useragent.IOS {
		if c, known = apples[ua.Name]; known {
			return c, known
		}
	}
	if ua.Mobile {
		if c, known = mobiles[ua.Name]; known {
			return c, known
		}
	}
	c, known = desktops[ua.Name]
	return c, known
}

func brand(model string) string {
	switch {
	case strings.HasPrefix(model, "iP"):
		return "Apple"
	case strings.HasPrefix(model, "SM-"):
		return "Samsung"
	case strings.HasPrefix(model, "Pixel"):
		return "Google"
	}
	return ""
}
