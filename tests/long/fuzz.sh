# The fuzz targets for a minute each (tests/fuzz.sh); FUZZ_SECONDS=... for longer.
# timeout: 3000
FUZZ_SECONDS=${FUZZ_SECONDS:-60} bash "$TOP/tests/fuzz.sh"
