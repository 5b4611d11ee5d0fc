"""Faults on purpose: a store is written, killed, filled up, torn and bent, and then asked what it has.

A round passes when everything that was committed is there, or is named as lost. Anything silently wrong fails it.
"""
