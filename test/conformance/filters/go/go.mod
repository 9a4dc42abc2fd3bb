module weir.test/canonical

go 1.24
