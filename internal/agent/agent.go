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
	ClientType, ClientCode, ClientName, ClientVersion string // browser or bot; CH, FF, SF
	ClientEngine                                      string // Blink, Gecko, WebKit, Trident
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
	code, engine := browser(ua.Name)
	switch {
	case ua.Bot:
		a.ClientType = "bot"
	case code != "":
		a.ClientType, a.ClientCode, a.ClientEngine = "browser", code, engine
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

func browser(name string) (code, engine string) {
	switch name {
	case useragent.Chrome:
		return "CH", "Blink"
	case useragent.Edge:
		return "PS", "Blink"
	case useragent.Opera:
		return "OP", "Blink"
	case useragent.Vivaldi:
		return "VI", "Blink"
	case useragent.SamsungBrowser:
		return "SB", "Blink"
	case useragent.Firefox:
		return "FF", "Gecko"
	case useragent.Safari:
		return "SF", "WebKit"
	case useragent.InternetExplorer:
		return "IE", "Trident"
	}
	return "", ""
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
