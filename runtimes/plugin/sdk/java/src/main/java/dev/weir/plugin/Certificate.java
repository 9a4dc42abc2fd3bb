package dev.weir.plugin;

/** PEM: the certificate with those that lead to its CA, and the key; the CAs of clients ("" when they show no certificates). */
public record Certificate(String chain, String key, String ca) {}
