package agent

import "testing"

func TestParseNamesClientSystemAndDevice(t *testing.T) {
	for text, want := range map[string]Agent{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36": {
			OSCode: "WIN", OSName: "Windows", OSVersion: "10", ClientType: "browser", ClientCode: "CH", ClientName: "Chrome",
			ClientVersion: "126.0", ClientEngine: "Blink", DeviceName: "desktop",
		},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1": {
			OSCode: "IOS", OSName: "iOS", OSVersion: "16.0", ClientType: "browser", ClientCode: "MF", ClientName: "Mobile Safari",
			ClientVersion: "16.0", ClientEngine: "WebKit", DeviceName: "smartphone", DeviceBrand: "Apple", DeviceModel: "iPhone",
		},
		"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": {
			OSCode: "LIN", OSName: "Linux", OSVersion: "x86_64", ClientType: "browser", ClientCode: "FF", ClientName: "Firefox",
			ClientVersion: "127.0", ClientEngine: "Gecko", DeviceName: "desktop",
		},
	} {
		if got := Parse(text); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
	}
	if bot := Parse("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"); bot.ClientType != "bot" || bot.ClientCode != "" {
		t.Errorf("%+v", bot)
	}
	if empty := Parse(""); empty != (Agent{}) {
		t.Errorf("%+v", empty)
	}
}

// The browsers of telephones have codes of their own.
func TestBrowsersOfTelephonesAreToldFromThoseOfDesktops(t *testing.T) {
	for text, want := range map[string]client{
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36":                                    {"CM", "Chrome Mobile", "Blink"},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.153 Mobile/15E148 Safari/604.1":    {"CI", "Chrome Mobile iOS", "WebKit"},
		"Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0":                                                                               {"FM", "Firefox Mobile", "Gecko"},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15":          {"F1", "Firefox Mobile iOS", "WebKit"},
		"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1":                     {"MF", "Mobile Safari", "WebKit"},
		"Mozilla/5.0 (Linux; Android 10; SM-G970F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 OPR/83.0.0.0":                {"OM", "Opera Mobile", "Blink"},
		"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36": {"SB", "Samsung Browser", "Blink"},
		"Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/126.0.0.0":                {"PS", "Microsoft Edge", "Blink"},
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0":                      {"PS", "Microsoft Edge", "Blink"},
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15":                                 {"SF", "Safari", "WebKit"},
	} {
		if a := Parse(text); a.ClientType != "browser" || (client{a.ClientCode, a.ClientName, a.ClientEngine}) != want {
			t.Errorf("%s: %+v, want %+v", text, a, want)
		}
	}
}
