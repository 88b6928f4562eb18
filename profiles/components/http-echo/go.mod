module slipway.local/http-echo

go 1.26.0
