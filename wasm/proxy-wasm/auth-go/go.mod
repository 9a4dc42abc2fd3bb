module weir.example/auth

go 1.24
